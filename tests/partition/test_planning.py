"""Planning against brute force."""

import random
from itertools import combinations

import pytest

from mmseg_infopro.partition import StepBytes, UnitBytes, module_peaks, plan_boundaries
from mmseg_infopro.partition.planning import TOLERANCE


def random_step(seed: int, num_units: int = 8) -> StepBytes:
    draw = random.Random(seed).randrange
    units = tuple(
        UnitBytes(f'unit{i}', draw(1, 100), draw(20), draw(10), draw(15), draw(60), draw(30))
        for i in range(num_units)
    )
    return StepBytes(units, tail_heads=draw(80), fixed=draw(50))


def peak_by_hand(step: StepBytes, cuts: tuple[int, ...]) -> int:
    peaks, left = [], step.fixed
    for start, end in zip((0, *cuts), (*cuts, len(step.units)), strict=True):
        units = step.units[start:end]
        heads = step.tail_heads if end == len(step.units) else units[-1].heads
        heads += sum(unit.auxiliary for unit in units)
        entry = step.units[start - 1].state if start else 0
        peaks.append(left + entry + sum(unit.saved for unit in units) + heads)
        left += sum(unit.gradients + unit.retained for unit in units)
    return max(peaks)


@pytest.mark.parametrize('num_modules', range(1, 9))
@pytest.mark.parametrize('seed', range(12))
def test_the_plan_is_as_good_as_brute_force(seed, num_modules):
    step = random_step(seed)
    best = min(peak_by_hand(step, cuts) for cuts in combinations(range(1, 8), num_modules - 1))
    boundaries = plan_boundaries(step, num_modules)
    assert len(boundaries) == num_modules - 1
    cuts = tuple(int(name.removeprefix('unit')) + 1 for name in boundaries)
    assert best <= peak_by_hand(step, cuts) <= best * (1 + TOLERANCE)
    assert max(module_peaks(step, boundaries)) == peak_by_hand(step, cuts)


def test_of_equally_good_plans_the_latest_boundaries_win():
    units = tuple(UnitBytes(f'unit{i}', saved) for i, saved in enumerate([1000, 10, 1000, 10]))
    assert plan_boundaries(StepBytes(units), 2) == ['unit1']


def test_bytes_of_equal_units_are_split_evenly():
    units = tuple(UnitBytes(f'unit{i}', 100) for i in range(6))
    assert plan_boundaries(StepBytes(units), 3) == ['unit1', 'unit3']
