"""Partitions for a pipeline, against brute force over all boundaries."""

import random
from dataclasses import replace
from itertools import combinations, pairwise
from operator import attrgetter

import pytest

from mmseg_infopro.measure.work import Work
from mmseg_infopro.planning.borders import Borders
from mmseg_infopro.planning.boundaries import TOLERANCE, plan_boundaries
from mmseg_infopro.planning.costs import StepBytes, UnitBytes
from mmseg_infopro.planning.device import Device
from mmseg_infopro.planning.objective import ShortestStage, SmallestPeak
from mmseg_infopro.planning.stage_costs import StageCosts

DEVICE = Device('', flops_per_second=4.0, bytes_per_second=2.0)
NUM_UNITS = 7


def random_step(seed: int) -> StepBytes:
    draw = random.Random(seed).randrange

    def work() -> Work:
        return Work(draw(100), draw(50))

    units = tuple(
        UnitBytes(
            f'unit{i}',
            saved=draw(1, 100),
            state=(state := draw(20)),
            state_floats=draw(state + 1) // 2 * 2,
            gradients=0 if i < seed % 3 else draw(1, 10),
            parameters=10,
            retained=(retained := draw(15)),
            retained_floats=draw(retained + 1) // 2 * 2,
            heads=draw(60),
            backward=draw(150),
            head_parameters=draw(25),
            frozen=i < seed % 3,
            forward_work=work(),
            backward_work=work(),
            heads_work=work(),
            auxiliary_work=work(),
            reads_image=bool(draw(2)),
        )
        for i in range(NUM_UNITS)
    )
    return StepBytes(
        units,
        tail_heads=draw(80),
        copies=2,
        tail_gradients=9,
        tail_parameters=9,
        tail_work=work(),
        image=draw(30),
        labels=draw(10),
    )


def seconds_by_hand(step: StepBytes, start: int, end: int) -> float:
    units, is_tail = step.units[start:end], end == NUM_UNITS
    if not is_tail and all(unit.frozen for unit in units):
        return float('inf')
    works = [work for u in units for work in (u.forward_work, u.backward_work, u.auxiliary_work)]
    works.append(step.tail_work if is_tail else units[-1].heads_work)
    trained = sum(u.gradients for u in units)
    trained += step.tail_gradients if is_tail else units[-1].head_parameters
    moved = sum(work.moved for work in works) + 5 * trained  # gradients; two copies, both ways
    return sum(work.flops for work in works) / 4.0 + moved / 2.0


def peak_by_hand(
    step: StepBytes, start: int, end: int, in_flight: int = 2, kept: int = 0, narrow: bool = False
) -> int:
    """Go through the step of one process, and note what is alive.

    Args:
        step: The step.
        start: First unit.
        end: One past the last.
        in_flight: Borders on their way.
        kept: Borders that wait to be trained on again.
        narrow: Whether 32-bit floats travel in 16 bits.
    """
    units, is_tail = step.units[start:end], end == NUM_UNITS
    retained = sum(unit.retained for unit in step.units[:start])
    received = step.units[start - 1].state + retained if start else 0
    sent = 0 if is_tail else units[-1].state + sum(u.retained for u in step.units[:end])
    heads = step.tail_parameters if is_tail else units[-1].head_parameters
    alive = sum(2 * u.gradients + (u.parameters - u.gradients) for u in units) + 2 * heads
    at_entry = sum(unit.retained_floats for unit in step.units[:start])
    at_entry += step.units[start - 1].state_floats if start else 0
    at_exit = sum(unit.retained_floats for unit in step.units[:end]) + units[-1].state_floats
    waits = received - at_entry // 2 if narrow else received
    passes = sent - at_exit // 2 if narrow and not is_tail else sent
    alive += step.labels + received + in_flight * passes + kept * waits
    alive += step.image if start == 0 or (units[-1].reads_image and not is_tail) else 0
    saved = sum(unit.saved for unit in units)
    peak = saved + (
        step.tail_heads if is_tail else 0 if all(u.frozen for u in units) else units[-1].heads
    )
    gradients = 0
    for unit in reversed(units):
        saved -= unit.saved
        peak = max(peak, saved + gradients + unit.backward)
        gradients += unit.gradients
    return alive + peak


@pytest.mark.parametrize('num_modules', [2, 3, 5])
@pytest.mark.parametrize('seed', range(12))
@pytest.mark.parametrize('capped', [False, True])
def test_the_longest_stage_is_the_shortest_of_all_partitions(seed, num_modules, capped):
    step = random_step(seed)
    spans = [
        list(pairwise((0, *cuts, NUM_UNITS)))
        for cuts in combinations(range(1, NUM_UNITS), num_modules - 1)
    ]
    peaks = [max(peak_by_hand(step, *span) for span in partition) for partition in spans]
    cap = sorted(peaks)[len(peaks) // 3] if capped else None
    fitting = [s for s, peak in zip(spans, peaks, strict=True) if cap is None or peak <= cap]
    longest = {
        tuple(start for start, _ in partition[1:]): max(
            seconds_by_hand(step, *s) for s in partition
        )
        for partition in fitting
    }
    best = min(longest.values())
    plan = ShortestStage(DEVICE, cap=cap).plan(step, num_modules)
    if best == float('inf'):
        assert plan is None
        return
    limit = best * (1 + TOLERANCE)
    latest = max(cuts for cuts, value in longest.items() if value <= limit)
    assert plan == [f'unit{cut - 1}' for cut in latest]


@pytest.mark.parametrize('seed', range(6))
def test_of_equally_fast_partitions_the_one_that_keeps_least(seed):
    step = random_step(seed)
    costs = StageCosts(step, DEVICE)
    plans = [
        [f'unit{cut - 1}' for cut in cuts]
        for cuts in combinations(range(1 + seed % 3, NUM_UNITS), 3)
    ]
    stages = [costs.partition(plan) for plan in plans]
    longest = [max(stage.seconds for stage in partition) for partition in stages]
    limit = min(longest) * (1 + TOLERANCE)
    kept = [max(stage.saved_bytes for stage in partition) for partition in stages]
    least = min(k for k, seconds in zip(kept, longest, strict=True) if seconds <= limit)
    plan = ShortestStage(DEVICE, tie=attrgetter('saved_bytes')).plan(step, 4)
    chosen = plans.index(plan)
    assert longest[chosen] <= limit
    assert kept[chosen] <= least * (1 + TOLERANCE)


def test_nothing_fits_a_cap_that_is_too_small():
    assert ShortestStage(DEVICE, cap=10).plan(random_step(0), 3) is None


def test_bytes_count_on_a_slow_memory_and_flops_on_a_fast_one():
    units = [
        UnitBytes(f'unit{i}', 1, gradients=1, forward_work=Work(100 * i, 100)) for i in range(6)
    ]
    step = StepBytes(tuple(units))
    slow_memory = ShortestStage(Device('', 1e9, 1.0))
    fast_memory = ShortestStage(Device('', 1.0, 1e9))
    assert slow_memory.plan(step, 2) == ['unit2']  # halves by number
    assert fast_memory.plan(step, 2) == ['unit3']  # 0 + 1 + 2 + 3 against 4 + 5


def test_a_plan_says_how_the_time_is_shared():
    units = [UnitBytes(f'unit{i}', 1, forward_work=Work(100, 0)) for i in range(4)]
    step = StepBytes(tuple(units), tail_work=Work(100, 0))
    objective = ShortestStage(DEVICE)
    shares = ', predicted shares of the time: 40.0%, 60.0%'
    assert objective.describe(step, ['unit1']) == shares


def test_the_peak_of_a_plan_is_that_of_its_fullest_process():
    step = random_step(4)
    peaks = [peak_by_hand(step, *span) for span in ((0, 3), (3, 5), (5, NUM_UNITS))]
    assert ShortestStage(DEVICE).peak(step, ['unit2', 'unit4']) == max(peaks)


@pytest.mark.parametrize('seed', range(4))
def test_borders_that_are_kept_and_narrow_ones_count(seed):
    step, spans = random_step(seed), ((0, 3), (3, 5), (5, NUM_UNITS))
    borders = Borders(in_flight=3, staleness=2, narrow=True)
    judged_by = ShortestStage(DEVICE, borders)
    # A border may be 0, 1 or 2 iterations old: three of them wait.
    peaks = [peak_by_hand(step, *span, in_flight=3, kept=3, narrow=True) for span in spans]
    assert judged_by.peak(step, ['unit2', 'unit4']) == max(peaks)
    costs = StageCosts(step, DEVICE, borders=borders)
    assert [costs.peak(*span) for span in spans] == peaks
    ahead = StageCosts(step, DEVICE, borders=Borders(in_flight=3, narrow=True, ahead=1))
    peaks = [peak_by_hand(step, *span, in_flight=3, kept=1, narrow=True) for span in spans]
    assert [ahead.peak(*span) for span in spans] == peaks


def test_a_cap_leaves_out_what_borders_would_exceed():
    """Behind the first unit the border is large, and the stages are as fast as each other."""
    units = [UnitBytes(f'unit{i}', 1, state=s, gradients=1) for i, s in enumerate((100, 10, 1))]
    step = StepBytes(tuple(replace(unit, forward_work=Work(100, 0)) for unit in units))
    plans = [
        ShortestStage(DEVICE, Borders(staleness=staleness), cap=400).plan(step, 3)
        for staleness in (0, 3)
    ]
    assert plans == [['unit0', 'unit1'], None]  # the second process would keep 4 x 100 bytes
    assert ShortestStage(DEVICE, Borders(staleness=3), cap=400).plan(step, 2) == ['unit1']


def test_one_process_is_judged_by_its_peak():
    step = random_step(3)
    assert SmallestPeak().plan(step, 3) == plan_boundaries(step, 3)
