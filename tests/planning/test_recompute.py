"""Planning what to recompute, against brute force and a step that is gone through by hand."""

import random
from itertools import combinations, pairwise, product

import pytest

from mmseg_infopro.planning.costs import StepBytes, UnitBytes
from mmseg_infopro.planning.group_ways import FLOPS_PER_BYTE, PASSES
from mmseg_infopro.planning.recompute import plan_recompute, smallest_cap
from mmseg_infopro.recompute.operations import ComputeOperation

NUM_UNITS = 5


def random_step(seed: int) -> StepBytes:
    draw = random.Random(seed).randrange
    head_parameters = draw(6)
    units = []
    for i in range(NUM_UNITS):
        sizes = [draw(1, 30) for _ in range(draw(1, 3))]
        operations = tuple(
            ComputeOperation(f'mm{i}', draw(1, 50), size, saved=True, repeated=True, returned=False)
            for size in sizes
        )
        inside = sum(sizes) + draw(20)
        state = draw(1, 20)
        units.append(
            UnitBytes(
                f'unit{i}',
                saved=inside + state,
                state=state,
                gradients=draw(10),
                retained=draw(10),
                heads=draw(60),
                auxiliary=draw(20),
                auxiliary_feature=draw(12),
                backward=inside + state + draw(30),
                head_parameters=head_parameters,
                ends_group=draw(4) == 0,
                inside=inside,
                operations=operations,
                by_layers=state + draw(1, 30) if seed % 4 else 0,
                by_layers_flops=draw(1, 300),
            )
        )
    return StepBytes(
        tuple(units),
        tail_heads=draw(80),
        fixed=draw(50),
        copies=draw(1, 4),
        tail_gradients=draw(20),
        updates_per_module=bool(seed % 2),
    )


def peak_by_hand(step, ends, groups):
    """Go through the step, event by event, and note what is alive.

    Args:
        ends: One past the last unit of each module.
        groups: For each module, its groups as (first, stop, outputs kept, None for all, or
            'layers').
    """
    num_heads = len(ends) - 1
    alive = step.fixed + num_heads * step.copies * step.units[0].head_parameters
    # Which heads trained before is not known to the planner: as if all had.
    if not step.updates_per_module:
        alive += num_heads * step.units[0].head_parameters
    peak, start = 0, 0
    for end, spans in zip(ends, groups, strict=True):
        units, is_tail = step.units[start:end], end == len(step.units)
        entry = step.units[start - 1].state if start else 0
        held = []
        for first, stop, kept in spans:
            inputs = step.units[first - 1].state if first > start else 0
            inner = 0 if kept == 'layers' else kept
            if kept is None:
                inner = sum(step.units[i].inside for i in range(first, stop))
            held.append((inputs, inner))
        heads = sum(unit.auxiliary for unit in units)
        heads += step.tail_heads if is_tail else units[-1].heads
        peak = max(peak, alive + entry + sum(map(sum, held)) + units[-1].state + heads)
        gradients = step.tail_gradients if is_tail else units[-1].head_parameters
        for (first, stop, kept), (inputs, _) in zip(reversed(spans), reversed(held), strict=True):
            held.pop()
            before = alive + entry + sum(map(sum, held)) + inputs
            # What the next module starts from.
            before += 0 if stop == end or is_tail else units[-1].state
            for unit in step.units[start:first]:
                before += unit.auxiliary_feature + (unit.retained if is_tail else 0)
            for i in range(stop - 1, first - 1, -1):
                inside = sum(step.units[j].inside + step.units[j].state for j in range(first, i))
                unit = step.units[i]
                own = unit.by_layers if kept == 'layers' else unit.backward
                peak = max(peak, before + inside + own + gradients)
                gradients += step.units[i].gradients
        if not step.updates_per_module:
            alive += sum(unit.gradients for unit in units)
        alive += sum(unit.retained for unit in units)
        start = end
    return peak


def operations(step, first, stop):
    return [op for unit in step.units[first:stop] for op in unit.operations]


def made_again(step, first, stop, kept):
    """Return the bytes of a group that its second run makes; it has what it passes on."""
    units = step.units[first:stop]
    return sum(unit.inside + unit.state for unit in units) - units[-1].state - kept


def ways_to_run(step, first, stop):
    """Yield (bytes kept or None, cost) of each way to run a group."""
    if stop - first == 1:
        yield None, 0
    ops = operations(step, first, stop)
    for keeps in product((True, False), repeat=len(ops)):
        kept = sum(op.output_bytes for op, keep in zip(ops, keeps, strict=True) if keep)
        flops = sum(op.flops for op, keep in zip(ops, keeps, strict=True) if not keep)
        yield kept, flops + FLOPS_PER_BYTE * made_again(step, first, stop, kept)
    if stop - first == 1 and step.units[first].by_layers:
        made = PASSES * made_again(step, first, stop, 0)
        yield 'layers', step.units[first].by_layers_flops + FLOPS_PER_BYTE * made


def groupings(step, start, end):
    for count in range(end - start):
        for cuts in combinations(range(start + 1, end), count):
            spans = list(pairwise((start, *cuts, end)))
            if not any(step.units[i].ends_group for a, b in spans for i in range(a, b - 1)):
                yield spans


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
