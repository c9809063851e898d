"""Rows of caps, who wins, and when that may be said."""

import json

import pytest

from mmseg_infopro.study.cap_plan import Planned, read_plan
from mmseg_infopro.study.cap_report import cap_figure, cap_rows, cap_table, winners
from mmseg_infopro.study.summary import read_records
from tests.study.test_summary import record

MIB = 2**20
PLAN = [
    Planned(way, cap, size * MIB, fits, 50 * MIB, 0.25, 2, [64, 96], [], 0.5)
    for cap, size in (('25%', 50), ('60%', 120))
    for way, fits in (('e2e', cap == '60%'), ('dgl:4', True))
]


def run(way, seed, found, cap='60%', budget='images'):
    return record(way, seed, found, cap=cap, budget=budget, iterations=8, lr=0.01)


RUNS = [
    *(run('e2e', seed, 40 + seed) for seed in range(3)),
    *(run('dgl:4', seed, 44 + seed) for seed in range(3)),
    run('dgl:4', 0, 30, '25%'),
    run('dgl:4', 0, 33, '25%', 'time'),
]


def test_rows_compare_ways_under_the_same_cap_and_budget():
    rows = cap_rows(PLAN, RUNS)
    assert [(row.planned.cap, row.budget, row.way.word, len(row.runs)) for row in rows] == [
        ('60%', 'images', 'e2e', 3),
        ('60%', 'images', 'dgl:4', 3),
        ('25%', 'images', 'e2e', 0),
        ('25%', 'images', 'dgl:4', 1),
        ('25%', 'time', 'e2e', 0),
        ('25%', 'time', 'dgl:4', 1),
    ]
    assert (rows[1].by_seeds.estimate, rows[1].by_frames.estimate) == (4, 4)
    assert rows[3].by_frames is None


def test_what_meets_no_cap_is_a_row_that_says_so():
    lines = cap_table(cap_rows(PLAN, RUNS)).splitlines()
    assert lines[3].endswith('+4.00 [+4.00, +4.00] | +4.00 [+4.00, +4.00] | better |')
    assert '| 25% (50.00 MiB) | images | e2e |' in lines[4]
    assert 'does not fit: batch 2 of 64x96 needs 50.00 MiB (25.0%)' in lines[4]
    assert {line.count('|') for line in lines[:8]} == {15}
    assert 'not trained yet' in cap_table(cap_rows(PLAN, RUNS[3:]))


def test_a_win_needs_both_intervals():
    assert list(winners(cap_rows(PLAN, RUNS))) == [
        '60%, same images: dgl:4 has the highest mean, 45.00, e2e next: '
        '+4.00 [+4.00, +4.00]; it wins.',
        '25%, same images: dgl:4 is the only way that was trained.',
        '25%, same time: dgl:4 is the only way that was trained.',
    ]
    (first, *_) = winners(cap_rows(PLAN, RUNS[1:4]))
    assert first.endswith('they share no seed.') or first.endswith('too few seeds.')


def test_the_picture_has_every_way_and_cap():
    figure = cap_figure(cap_rows(PLAN, RUNS))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['e2e', 'dgl:4']
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks[-1] == "25% of E2E's peak\nsame time"


def test_a_plan_of_another_config_is_refused(tmp_path):
    (tmp_path / 'plan.json').write_text(json.dumps(dict(config='abc', steps=[])))
    assert read_plan(tmp_path) == []
    with pytest.raises(ValueError, match='made for another state of the config'):
        read_plan(tmp_path, 'def')
    (tmp_path / 'plan.json').write_text('[')
    with pytest.raises(ValueError, match='is not the plan of a study'):
        read_plan(tmp_path)


def test_two_configs_of_one_way_under_one_cap_are_refused(tmp_path):
    for number, one in enumerate((RUNS[0], {**RUNS[1], 'config': 'another'})):
        (tmp_path / f'{number}.json').write_text(json.dumps(one))
    with pytest.raises(ValueError, match='the runs of e2e 60% images are of 2 configs'):
        read_records(tmp_path)
    (tmp_path / '1.json').write_text(json.dumps({**RUNS[0], 'cap': '25%', 'config': 'another'}))
    assert len(read_records(tmp_path)) == 2
