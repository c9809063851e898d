"""Planning what to recompute, against brute force and a step that is gone through by hand."""

from itertools import combinations, pairwise, product

import pytest

from mmseg_infopro.planning.costs import StepBytes, UnitBytes
from mmseg_infopro.planning.group_ways import FLOPS_PER_BYTE, PASSES
from mmseg_infopro.planning.recompute import plan_recompute, smallest_cap
from tests.planning.by_hand import (
    NUM_UNITS,
    groupings,
    made_again,
    operations,
    peak_by_hand,
    random_step,
    ways_to_run,
)


def cheapest_by_brute_force(step, num_modules, cap):
    best = None
    for cuts in combinations(range(1, NUM_UNITS), num_modules - 1):
        ends = (*cuts, NUM_UNITS)
        modules = [list(groupings(step, *span)) for span in pairwise((0, *ends))]
        for spans in product(*modules):
            flat = [span for module in spans for span in module]
            for ways in product(*(list(ways_to_run(step, *span)) for span in flat)):
                total = sum(cost for _, cost in ways)
                if best is not None and total >= best:
                    continue
                kept = iter(ways)
                groups = [[(*span, next(kept)[0]) for span in module] for module in spans]
                if peak_by_hand(step, ends, groups) <= cap:
                    best = total
    return best


def groups_of(step, plan):
    """Return the plan's partition and groups as :func:`peak_by_hand` takes them, FLOPs and cost."""
    names = [unit.name for unit in step.units]
    ends = [names.index(name) + 1 for name in (*plan.boundaries, names[-1])]
    modules: list[list] = [[] for _ in ends]
    first = flops = cost = 0
    for group in plan.groups:
        stop = names.index(group.end) + 1
        module = next(i for i, end in enumerate(ends) if stop <= end)
        if group.saved == 'all':
            modules[module] += [(i, i + 1, None) for i in range(first, stop)]
        elif group.saved == 'layers':
            modules[module].append((first, stop, 'layers'))
            flops += step.units[first].by_layers_flops
            cost += step.units[first].by_layers_flops
            cost += PASSES * FLOPS_PER_BYTE * made_again(step, first, stop, 0)
        else:
            ops = operations(step, first, stop)
            assert all(ops[i].name == name for i, name in group.saved.items())
            kept = sum(ops[i].output_bytes for i in group.saved)
            repeated = sum(op.flops for i, op in enumerate(ops) if i not in group.saved)
            flops += repeated
            cost += repeated + FLOPS_PER_BYTE * made_again(step, first, stop, kept)
            modules[module].append((first, stop, kept))
        first = stop
    return ends, modules, flops, cost


@pytest.mark.parametrize('seed', range(24))
def test_a_plan_is_within_the_cap_and_nearly_as_cheap_as_brute_force(seed):
    step = random_step(seed)
    num_modules = 1 + seed % 3
    largest = max(
        op.flops + FLOPS_PER_BYTE * op.output_bytes for unit in step.units for op in unit.operations
    )
    found = 0
    for cap in (150, 200, 250, 320):
        plan = plan_recompute(step, num_modules, cap)
        best = cheapest_by_brute_force(step, num_modules, cap)
        assert (plan is None) == (best is None)
        assert plan is None or smallest_cap(step, num_modules) <= cap
        if plan is None:
            continue
        found += 1
        ends, groups, flops, cost = groups_of(step, plan)
        assert flops == plan.flops
        assert peak_by_hand(step, ends, groups) <= cap
        # Operations are dropped in the order of FLOPs per byte: off by one of them per module.
        assert best <= cost <= best + num_modules * largest
    assert found, 'no cap was large enough'


@pytest.mark.parametrize('seed', range(8))
def test_a_larger_cap_never_repeats_more(seed):
    step = random_step(seed)
    previous = None
    for cap in range(100, 500, 20):
        plan = plan_recompute(step, 2, cap)
        assert plan is not None or previous is None
        cost = None if plan is None else groups_of(step, plan)[-1]
        if cost is not None and previous is not None:
            assert cost <= previous
        previous = cost
    assert previous == 0, 'with room for all, nothing is recomputed'


def test_of_equally_good_partitions_the_latest_is_taken():
    unit = dict(saved=10, state=5, inside=5, backward=15)
    step = StepBytes(tuple(UnitBytes(f'unit{i}', **unit) for i in range(4)))
    plan = plan_recompute(step, 3, 1000)
    assert plan.boundaries == ('unit1', 'unit2')
    assert [(group.end, group.saved) for group in plan.groups] == [
        ('unit1', 'all'),
        ('unit2', 'all'),
        ('unit3', 'all'),
    ]
