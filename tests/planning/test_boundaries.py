"""Planning against brute force."""

import random
from itertools import combinations

import pytest

from mmseg_infopro.planning.boundaries import TOLERANCE, module_peaks, plan_boundaries
from mmseg_infopro.planning.costs import StepBytes, UnitBytes
from tests.planning.by_hand import heads_by_hand, random_auxiliary


def random_step(seed: int, num_units: int = 8) -> StepBytes:
    draw = random.Random(seed).randrange
    units = tuple(
        UnitBytes(
            f'unit{i}',
            saved=draw(1, 100),
            state=(state := draw(20)),
            gradients=draw(10),
            retained=(retained := draw(15)),
            shared=draw(1 + min(state, retained)),
            heads=(heads := draw(60)),
            heads_saved=draw(heads + 1),
            auxiliary=random_auxiliary(draw),
            backward=draw(150),
            head_parameters=draw(25),
            frozen=i < draw(3),
        )
        for i in range(num_units)
    )
    tail = draw(80)
    return StepBytes(
        units, tail_heads=tail, tail_saved=draw(tail + 1), fixed=draw(50), copies=draw(1, 4)
    )


def peak_by_hand(step: StepBytes, cuts: tuple[int, ...]) -> int:
    """Go through the step, event by event, and note what is alive."""
    spans = list(zip((0, *cuts), (*cuts, len(step.units)), strict=True))
    trained = [not all(unit.frozen for unit in step.units[a:b]) for a, b in spans]
    heads = [step.units[b - 1] for (_, b), t in zip(spans[:-1], trained[:-1], strict=True) if t]
    alive = step.fixed + step.copies * sum(unit.head_parameters for unit in heads)
    peak = 0
    for (start, end), trains in zip(spans, trained, strict=True):
        units, is_tail = step.units[start:end], end == len(step.units)
        entry = step.units[start - 1].state - step.units[start - 1].shared if start else 0
        first = (step.tail_heads, step.tail_saved) if is_tail else (0, 0)
        if trains and not is_tail:
            first = units[-1].heads, units[-1].heads_saved
        local = heads_by_hand(first, units)
        saved = sum(unit.saved for unit in units)
        peak = max(peak, alive + entry + saved + local)
        gradients = 0
        for unit in reversed(units):
            saved -= unit.saved
            peak = max(peak, alive + entry + saved + gradients + unit.backward)
            gradients += unit.gradients
        alive += gradients + sum(unit.retained for unit in units)
        alive += units[-1].head_parameters if trains and not is_tail else 0
    return peak


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
