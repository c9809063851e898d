"""``tools/probe.py`` as a user calls it."""

import json

import torch
from mmseg.registry import MODELS

from mmseg_infopro.config.read import read_config
from tests.tools.conftest import write_config


def test_it_compares_checkpoints_in_tables_and_pictures(run, tmp_path, streets):
    config = write_config(tmp_path, streets)
    model = MODELS.build(read_config(str(config)).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'one.pth')
    shared = (config, 'one.pth', '--iters', 2, '--images', 1, '--boundaries', 'stem', 'layer2.0')
    outcome = run('probe', *shared, '--name', 'first', '--json', 'first.json')
    assert outcome.status == 0, outcome.err
    outputs = '--picture', 'probe.png', '--reconstructions', 'seen.png'
    outcome = run('probe', *shared, '--with', 'first.json', '--name', 'second', *outputs)
    assert outcome.status == 0, outcome.err
    assert 'first: ' in outcome.out and 'second: ' in outcome.out
    content = json.loads((tmp_path / 'first.json').read_text())
    assert [point['boundary'] for point in content['knowledge']] == ['stem', 'layer2.0']
    assert set(content['own']) == {'local_0.FCNHead', 'decode_head'}
    assert (tmp_path / 'probe.png').is_file() and (tmp_path / 'seen.png').is_file()


def test_bad_input_is_a_sentence(run, tmp_path, streets):
    config = write_config(tmp_path, streets)
    (tmp_path / 'other.json').write_text('{}')
    for arguments, message in (
        (('--iters', 0), '--iters must be at least 1, got 0'),
        (('--with', 'other.json'), 'other.json: not the --json of a probe'),
        ((), 'no.pth'),
    ):
        outcome = run('probe', config, 'no.pth', *arguments)
        assert (outcome.status, message in outcome.err) == (2, True), outcome.err
