"""What processes of a pipeline recompute, against brute force and steps gone through by hand."""

from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise, product

import pytest

from mmseg_infopro.measure.work import Work
from mmseg_infopro.planning.borders import Borders
from mmseg_infopro.planning.boundaries import TOLERANCE
from mmseg_infopro.planning.device import Device
from mmseg_infopro.planning.group_ways import FLOPS_PER_BYTE
from mmseg_infopro.planning.objective import ShortestStage
from tests.planning.by_hand import (
    NUM_UNITS,
    groupings,
    module_peak_by_hand,
    random_step,
    ways_to_run,
)

DEVICE = Device('', flops_per_second=FLOPS_PER_BYTE, bytes_per_second=1.0)
"""On which what recomputing costs is its time."""
IN_FLIGHT, KEPT = 1, 2


def pipeline_step(seed):
    step = random_step(seed)
    units = tuple(
        replace(
            unit,
            parameters=unit.gradients,
            forward_work=Work(40 * (i + seed % 3), 7),
            backward_work=Work(30, 11 * i),
            heads_work=Work(20, 5),
        )
        for i, unit in enumerate(step.units)
    )
    tail = dict(tail_parameters=step.tail_gradients, tail_work=Work(100, 3), image=6, labels=4)
    return replace(step, units=units, **tail)


def alive_by_hand(step, start, end):
    """Return what a process holds all the time, with the features that later modules read."""
    units, is_tail = step.units[start:end], end == NUM_UNITS
    heads = step.tail_parameters if is_tail else units[-1].head_parameters
    before = sum(unit.retained for unit in step.units[:start])
    alive = round(step.copies * (sum(unit.gradients for unit in units) + heads))
    alive += step.labels + (0 if start else step.image) + before
    if start:
        alive += KEPT * (step.units[start - 1].state + before)
    if not is_tail:
        retained = sum(unit.retained for unit in step.units[:end])
        alive += IN_FLIGHT * (units[-1].state + retained)
    return alive


def seconds_by_hand(step, start, end):
    """Return the seconds of a stage that recomputes nothing."""
    units, is_tail = step.units[start:end], end == NUM_UNITS
    works = [work for unit in units for work in (unit.forward_work, unit.backward_work)]
    works.append(step.tail_work if is_tail else units[-1].heads_work)
    trained = sum(unit.gradients for unit in units)
    trained += step.tail_gradients if is_tail else units[-1].head_parameters
    moved = sum(work.moved for work in works) + (1 + 2 * step.copies) * trained
    return sum(work.flops for work in works) / FLOPS_PER_BYTE + moved


def cheapest_by_brute_force(step, start, end, cap):
    """Return the least cost of recomputing with which a module fits its process."""
    alive, best = alive_by_hand(step, start, end), float('inf')
    for spans in groupings(step, start, end):
        for ways in product(*(list(ways_to_run(step, *span)) for span in spans)):
            cost = sum(cost for _, cost in ways)
            groups = [(*span, kept) for span, (kept, _) in zip(spans, ways, strict=True)]
            if cost < best and module_peak_by_hand(step, start, end, groups, alive) <= cap:
                best = cost
    return best


@pytest.mark.parametrize('seed', range(16))
def test_the_longest_stage_is_about_as_short_as_by_brute_force(seed):
    step, num_modules, found = pipeline_step(seed), 2 + seed % 2, 0
    judged_by = ShortestStage(DEVICE, Borders(IN_FLIGHT, staleness=KEPT - 1))
    largest = max(
        op.flops + FLOPS_PER_BYTE * op.output_bytes for unit in step.units for op in unit.operations
    )
    for cap in (110, 140, 180, 260, 360):

        @cache
        def stage(start, end, cap=cap):
            cost = cheapest_by_brute_force(step, start, end, cap)
            return seconds_by_hand(step, start, end) + cost / FLOPS_PER_BYTE

        longest = {
            cuts: max(stage(*span) for span in pairwise((0, *cuts, NUM_UNITS)))
            for cuts in combinations(range(1, NUM_UNITS), num_modules - 1)
        }
        best = min(longest.values())
        plan = judged_by.plan_recompute(step, num_modules, cap)
        assert (plan is None) == (best == float('inf'))
        if plan is None:
            continue
        found += 1
        names = [unit.name for unit in step.units]
        cuts = tuple(names.index(name) + 1 for name in plan.boundaries)
        # Operations are dropped in the order of FLOPs per byte: off by one of them per module.
        assert longest[cuts] <= best * (1 + TOLERANCE) + largest / FLOPS_PER_BYTE
    assert found, 'no cap was large enough'


def test_with_room_for_all_nothing_is_recomputed():
    step = pipeline_step(3)
    judged_by = ShortestStage(DEVICE)
    plan = judged_by.plan_recompute(step, 3, 10_000)
    assert list(plan.boundaries) == judged_by.plan(step, 3)
    assert {group.saved for group in plan.groups} == {'all'}
    assert plan.flops == 0


def test_below_what_the_last_process_holds_nothing_fits():
    step = pipeline_step(5)
    judged_by = ShortestStage(DEVICE)
    assert judged_by.plan_recompute(step, 2, judged_by.smallest_cap(step, 2)) is None
