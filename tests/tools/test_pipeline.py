"""``tools/pipeline.py`` as a user calls it."""

import json

import pytest
from PIL import Image


def test_every_way_to_use_some_devices_is_simulated(run, config, tmp_path):
    outputs = '--json', 'scale.json', '--picture', 'scale.png'
    links = '--link', '25gbe', 'nvlink'
    outcome = run('pipeline', config, '--devices', 4, 2, *links, '--device', 'v100', *outputs)
    assert outcome.status == 0, outcome.err
    rows = json.loads((tmp_path / 'scale.json').read_text())
    of_four = [row for row in rows if row['num_devices'] == 4 and row['link'] == 'nvlink']
    schemes = ['local 4 x 1', 'local 2 x 2', 'data parallel', 'GPipe', '1F1B']
    assert [row['scheme'] for row in of_four] == schemes
    assert {row['images'] for row in of_four} == {8}
    by_scheme = {row['scheme']: row for row in of_four}
    local = by_scheme['local 4 x 1']
    assert len(local['boundaries']) == 3
    assert len(local['peak_bytes']) == len(local['utilisation']) == 4
    assert sum(local['time_shares']) == pytest.approx(1)
    # The slowest stage says how busy all are together, but for the borders that all wait for.
    assert 0.5 < sum(local['utilisation']) * max(local['time_shares']) <= 1.001
    assert max(by_scheme['1F1B']['peak_bytes']) < max(by_scheme['GPipe']['peak_bytes'])
    slow = [row for row in rows if row['num_devices'] == 4 and row['link'] == '25gbe']
    for fast, other in zip(of_four, slow, strict=True):
        assert other['images_per_second'] <= fast['images_per_second'] * (1 + 1e-9)
        assert other['peak_bytes'] == fast['peak_bytes']
    assert 'v100: 6.28e+12 FLOP/s, 7.2e+11 B/s, 40% of the FLOPs' in outcome.out
    assert 'predicted shares of the time' in outcome.out
    assert Image.open(tmp_path / 'scale.png').width > 800


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--devices', 1], '--devices must be at least 2, got 1'),
        (['--devices', 40], 'num_modules must be between 1 and 9'),
        (['--link', 'wifi'], "there is no link named 'wifi'; valid: nvlink, pcie, 25gbe"),
        (['--device', 'abacus'], "there is no device named 'abacus'; valid: a100,"),
        (['--in-flight', 0], '--in-flight must be at least 1, got 0'),
        (['--measure', 1], '--measure must be at least 2 local modules, got 1'),
        (['--measure', 40], 'num_modules must be between 1 and 9'),
        (['--micro-batch', 3], '--micro-batch must divide the batch of 2 images, got 3'),
    ],
)
def test_what_cannot_be_simulated(run, config, arguments, sentence):
    assert sentence in run('pipeline', config, *arguments).error


@pytest.mark.campaign
def test_a_race_on_this_machine(run, config, tmp_path):
    short = '--measure', 2, '--rounds', 1, '--steps', 2, '--json', 'race.json'
    outcome = run('pipeline', config, *short, '--picture', 'trace.png')
    assert outcome.status == 0, outcome.err
    rows = {row['way']: row for row in json.loads((tmp_path / 'race.json').read_text())['rows']}
    assert all(row['images_per_second'] > 0 for row in rows.values())
    assert [len(row['grown_bytes']) for row in rows.values()] == [2] * 5
    assert rows['pipeline']['simulated'] > 0
    assert "boundaries=['layer2.0']" in outcome.out  # the config's own
    assert 'process 1: compute' in outcome.out
    assert Image.open(tmp_path / 'trace.png').width > 800
