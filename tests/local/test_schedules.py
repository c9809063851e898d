"""Which passes a step takes."""

import pytest

from mmseg_infopro.local.schedule import Pass, Schedule, check_passes
from mmseg_infopro.local.schedules import SCHEDULES, build_schedule

THREE = ['a', 'b']


def passes(iteration, boundaries=THREE, **cfg):
    return build_schedule(cfg, boundaries)(iteration, len(boundaries) + 1)


def spans(found):
    return [(run.first, run.last, run.trains) for run in found]


def test_local_trains_each_module_in_turn():
    assert passes(7, type='Local') == [Pass(k, k, {k: 1.0}) for k in range(3)]


@pytest.mark.parametrize(
    ('iteration', 'expected'),
    [
        (0, [(0, 0, True)]),
        (9, [(0, 0, True)]),
        (10, [(0, 0, False), (1, 1, True)]),
        (40, [(0, 1, False), (2, 2, True)]),
        (999, [(0, 1, False), (2, 2, True)]),
    ],
)
def test_sequential_trains_a_module_for_its_share(iteration, expected):
    cfg = dict(type='Sequential', shares=[10, 30, 60], max_iters=100)
    assert spans(passes(iteration, **cfg)) == expected
    cfg['shares'] = [0.1, 0.3, 0.6]
    assert spans(passes(iteration, **cfg)) == expected


def test_sequential_skips_a_frozen_module_and_ends_with_fine_tuning():
    schedule = build_schedule(
        dict(type='Sequential', shares=[0, 50, 50], max_iters=100, finetune=True), THREE
    )
    assert spans(schedule(0, 3)) == [(0, 0, False), (1, 1, True)]
    assert spans(schedule(50, 3)) == [(0, 2, True)]
    assert schedule(50, 3)[0].weight(0, 'FCNHead') == 0
    assert schedule(50, 3)[0].weight(1, 'auxiliary') == 1
    assert schedule.phases(3) == {'module 1': 0, 'fine-tuning': 50}


@pytest.mark.parametrize(
    ('cfg', 'global_ones'),
    [
        (dict(period=4), [3, 7]),
        (dict(last_share=0.25, max_iters=8), [6, 7]),
    ],
)
def test_some_steps_are_global(cfg, global_ones):
    schedule = build_schedule(dict(type='PeriodicGlobal', **cfg), THREE)
    assert [i for i in range(8) if len(schedule(i, 3)) == 1] == global_ones
    (run,) = schedule(global_ones[0], 3)
    assert run.recompute and [run.weight(k, 'head') for k in range(3)] == [0, 0, 1]
    assert schedule.phases(3) == {'local': 0, 'global': global_ones[0]}


def test_neighbours_overlap():
    found = passes(0, type='Overlapping')
    assert [(run.first, run.last, run.weights) for run in found] == [
        (0, 1, {0: 1.0, 1: 0.999}),
        (1, 2, {1: 0.001, 2: 0.999}),
        (2, 2, {2: 0.001}),
    ]


def test_neighbours_overlap_at_named_borders_only():
    found = passes(0, type='Overlapping', borders=['b'], independent=0.5, cascade=0.5)
    assert [(run.first, run.last, run.weights) for run in found] == [
        (0, 0, {0: 1.0}),
        (1, 2, {1: 1.0, 2: 0.5}),
        (2, 2, {2: 0.5}),
    ]


@pytest.mark.parametrize(
    ('boundaries', 'cfg', 'message'),
    [
        (THREE, dict(type='Sequental'), 'must be one of .* did you mean Sequential'),
        (THREE, dict(type='Sequential'), 'max_iters must be the iterations of the run'),
        (THREE, dict(type='Sequential', shares=[1, 2], max_iters=3), 'one for each of 3 local'),
        (
            THREE,
            dict(type='Sequential', shares=[10, 20, 30], max_iters=100),
            r'must add up to max_iters=100, .* which add up to 60',
        ),
        (THREE, dict(type='Sequential', shares=[0.5, 0.6, -0.1], max_iters=9), 'not be negative'),
        (THREE, dict(type='PeriodicGlobal'), 'exactly one of period and last_share'),
        (THREE, dict(type='PeriodicGlobal', period=1), 'period must be an int of at least 2'),
        (THREE, dict(type='PeriodicGlobal', last_share=2, max_iters=9), 'between 0 and 1'),
        (THREE, dict(type='PeriodicGlobal', last_share=0.5), 'max_iters must be'),
        ([], dict(type='Overlapping'), 'at least 2 local modules, got 1'),
        (THREE, dict(type='Overlapping', borders=['c']), "names 'c', .* valid: a, b"),
        (THREE, dict(type='Overlapping', borders=[2]), 'borders must be some of 0 to 1'),
        (THREE, dict(type='Overlapping', cascade=0), 'first and cascade must be positive'),
        (THREE, dict(type='Overlapping', first=0), 'first and cascade must be positive'),
        (THREE, dict(type='Local', period=3), r'local.schedule \(Local\) takes no period'),
    ],
)
def test_what_does_not_fit_is_refused(boundaries, cfg, message):
    with pytest.raises(ValueError, match=message):
        build_schedule(cfg, boundaries)


@pytest.mark.parametrize(
    ('found', 'message'),
    [
        ([Pass(0, 3, {0: 1.0})], 'module 0 to 3 is not within 0 to 2'),
        ([Pass(1, 1, {1: 1.0})], 'begins at module 1, but the ones before it only reach'),
        ([Pass(0, 0, {1: 1.0})], 'weighs module 1, which is not in it'),
        ([Pass(0, 0, trains=False)], 'no pass that trains'),
    ],
)
def test_passes_that_cannot_run_are_refused(found, message):
    with pytest.raises(ValueError, match=message):
        check_passes(found, 3)


def test_a_users_schedule_is_found_by_its_name():
    @SCHEDULES.register_module()
    class EveryOther(Schedule):
        def __call__(self, iteration, num_modules):
            return [Pass(0, num_modules - 1, {num_modules - 1: 1.0})]

    assert spans(passes(0, type='EveryOther')) == [(0, 2, True)]
