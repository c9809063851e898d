"""A study as a user runs it."""

import json
import re
import shutil

import pytest

from tests.tools.conftest import write_config

MORE = "train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=1)\n"
MORE += 'default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))\n'


@pytest.fixture
def bed(tmp_path, streets):
    config = write_config(tmp_path, streets, MORE)
    folder = tmp_path / 'bed'
    folder.mkdir()
    content = dict(config=f'../{config.name}', partitions={'2': ['layer2.0']})
    (folder / 'bed.json').write_text(json.dumps(content))
    return folder


def test_a_run_leaves_a_record_that_its_seed_determines(run, bed, tmp_path):
    records = []
    for work_dirs in ('first', 'second'):
        outcome = run('study', bed, '--ways', 'dgl:2', '--seeds', 3, '--work-dirs', work_dirs)
        assert outcome.status == 0, outcome.err
        file = bed / 'dgl-k2-s3.json'
        records.append(json.loads(file.read_text()))
        file.rename(tmp_path / f'{work_dirs}.json')
    # A third one was killed in its second iteration.
    begun = tmp_path / 'third/bed/dgl-k2-s3'
    shutil.copytree(tmp_path / 'second/bed/dgl-k2-s3', begun)
    for made_later in ('iter_2.pth', 'counts/counts_2.json'):
        (begun / made_later).unlink()
    outcome = run('study', bed, '--ways', 'dgl:2', '--seeds', 3, '--work-dirs', 'third')
    assert outcome.status == 0, outcome.out
    assert 'resumed epoch: 0, iter: 1' in (begun / 'output.txt').read_text()
    records.append(json.loads((bed / 'dgl-k2-s3.json').read_text()))
    first, second, third = ({**one, 'timing': 0, 'machine': 0} for one in records)
    assert first == second == third
    # The score as mmseg's own metric logged it.
    (log,) = (tmp_path / 'first/bed/dgl-k2-s3').glob('*/*.log')
    logged = [float(value) for value in re.findall(r'mIoU: ([\d.]+)', log.read_text())]
    assert [round(one['mIoU'], 2) for one in first['validations']] == logged
    assert [one['iteration'] for one in first['validations']] == [1, 2]


def test_what_cannot_be_run_is_a_sentence(run, bed):
    for ways, message in (
        (('dgl:4',), 'there are boundaries for K = 2, and none for 4'),
        (('dgl:2', 'dgl:2'), 'the grid names dgl-k2-s0 twice'),
        (('dgll:2',), "no way to train named 'dgll'; did you mean dgl"),
    ):
        outcome = run('study', bed, '--ways', *ways)
        assert (outcome.status, message in outcome.err) == (2, True), outcome.err
    outcome = run('study', bed, '--ways', 'dgl:2', '--plan')
    assert 'dgl-k2-s0' in outcome.out
    outcome = run('study', bed, '--ways', 'dgl:2', 'e2e', '--hours', '1e-6')
    assert 'core-hours, more than 1e-06' in outcome.err
    outcome = run('study', bed, '--ways', 'e2e', '--cap', '25')
    assert '25 what? say 25GiB' in outcome.err
    outcome = run('study', bed, '--report')
    assert 'holds no record of a run' in outcome.err
