"""Steps that are gone through by hand, and all ways to recompute in one, for tests of plans."""

import random
from itertools import combinations, pairwise, product

from mmseg_infopro.planning.costs import HeadBytes, StepBytes, UnitBytes
from mmseg_infopro.planning.group_ways import FLOPS_PER_BYTE, PASSES
from mmseg_infopro.recompute.operations import ComputeOperation

NUM_UNITS = 5


def random_step(seed: int) -> StepBytes:
    draw = random.Random(seed).randrange
    head_parameters = draw(6)
    units: list[UnitBytes] = []
    pieces: dict[int, int] = {}
    for i in range(NUM_UNITS):
        sizes = [draw(1, 30) for _ in range(draw(1, 3))]
        operations = tuple(
            ComputeOperation(f'mm{i}', draw(1, 50), size, saved=True, repeated=True, returned=False)
            for size in sizes
        )
        inside = sum(sizes) + draw(20)
        # Some of what was there is passed on as it is.
        pieces = {made: size for made, size in pieces.items() if draw(2)} | {i: draw(1, 20)}
        state = sum(pieces.values())
        backward = inside + state + draw(30)
        units.append(
            UnitBytes(
                f'unit{i}',
                saved=inside + state,
                state=state,
                carried=tuple(
                    sum(size for made, size in pieces.items() if made <= before)
                    for before in range(i - 1, min(pieces) - 1, -1)
                ),
                gradients=draw(10),
                retained=(retained := draw(10)),
                shared=draw(1 + min(retained, pieces[i])),
                heads=(heads := draw(60)),
                heads_saved=draw(heads + 1),
                auxiliary=random_auxiliary(draw),
                backward=backward,
                released=backward - draw(state),
                cheap=backward - draw(inside) if seed % 3 else 0,
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
        tail_heads=(tail := draw(80)),
        tail_saved=draw(tail + 1),
        fixed=draw(50),
        copies=draw(1, 4),
        tail_gradients=draw(20),
        updates_per_module=bool(seed % 2),
    )


def random_auxiliary(draw):
    """Return no, one or two auxiliary heads."""
    peaks = [draw(60) for _ in range(draw(3))]
    return tuple(HeadBytes(peak, draw(peak + 1), draw(12)) for peak in peaks)


def heads_by_hand(first, units):
    """Go through the forward and backward passes of heads, and note what they need.

    Args:
        first: Peak, and bytes kept, of those that run before auxiliary ones.
        units: Whose auxiliary heads follow.
    """
    heads = [(*first, 0)]
    heads += [(h.peak, h.saved, h.feature) for unit in units for h in unit.auxiliary]
    alive = peak = 0
    for own, saved, _ in heads:
        peak = max(peak, alive + own)
        alive += saved
    for own, saved, feature in reversed(heads):
        alive -= saved
        peak = max(peak, alive + own)
        alive += feature
    return peak


def state_behind(step, end):
    """Return the bytes of the state behind some units, by which unit made them."""
    if not end:
        return {}
    unit = step.units[end - 1]
    older = [*unit.carried, 0]
    pieces = {end - 1: unit.state - older[0]}
    for before, (more, less) in enumerate(pairwise(older), start=2):
        pieces |= {end - before: more - less} if more > less else {}
    return pieces


def union(*states):
    """Return the bytes of some states, what several of them have once."""
    pieces = {}
    for state in states:
        for made, size in state.items():
            assert pieces.setdefault(made, size) == size
    return sum(pieces.values())


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
        units = step.units[start:end]
        twice = step.units[start - 1].shared if start else 0
        peak = max(peak, module_peak_by_hand(step, start, end, spans, alive - twice))
        if not step.updates_per_module:
            alive += sum(unit.gradients for unit in units)
        alive += sum(unit.retained for unit in units)
        start = end
    return peak


def module_peak_by_hand(step, start, end, spans, alive):
    """Go through one module's part of the step.

    Args:
        step: The step.
        start: First unit of the module.
        end: One past the last one.
        spans: Its groups, as for :func:`peak_by_hand`.
        alive: Bytes that are there all the time.
    """
    units, is_tail = step.units[start:end], end == len(step.units)
    border = state_behind(step, end)
    inputs, held = [state_behind(step, start)], []
    for first, stop, kept in spans:
        inputs.append(state_behind(step, first))
        inner = 0 if kept == 'layers' else kept
        if kept is None:
            inner = sum(step.units[i].inside for i in range(first, stop))
        held.append(inner)
    last = units[-1]
    first = (step.tail_heads, step.tail_saved) if is_tail else (last.heads, last.heads_saved)
    peak = alive + sum(held) + union(*inputs, border) + heads_by_hand(first, units)
    gradients = step.tail_gradients if is_tail else units[-1].head_parameters
    for first, stop, kept in reversed(spans):
        held.pop()
        # What the next module starts from is there; a unit's own peak has it. Planned is that what
        # the module started from is in it, and nothing else that is there.
        passed_on = union(inputs[0], border) - union(inputs[0])
        before = alive + sum(held) + union(*inputs)
        before += 0 if stop == end or is_tail else passed_on
        inputs.pop()
        for unit in step.units[start:first]:
            before += sum(head.feature for head in unit.auxiliary)
            before += unit.retained if is_tail else 0
        keeps_all = sum(op.output_bytes for op in operations(step, first, stop))
        for i in range(stop - 1, first - 1, -1):
            inside = sum(step.units[j].inside for j in range(first, i))
            made = [state_behind(step, j + 1) for j in range(first, i)]
            inside += union(state_behind(step, first), *made) - union(state_behind(step, first))
            unit = step.units[i]
            own = unit.by_layers if kept == 'layers' else unit.backward
            own -= unit.backward - unit.released if i < end - 1 else 0
            if i == end - 1 and unit.cheap and kept == keeps_all:
                own = unit.cheap
            peak = max(peak, before + inside + own + gradients)
            gradients += step.units[i].gradients
    return peak


def operations(step, first, stop):
    return [op for unit in step.units[first:stop] for op in unit.operations]


def made_again(step, first, stop, kept):
    """Return the bytes of a group that its second run makes; it has what it passes on."""
    units = step.units[first:stop]
    states = [state_behind(step, end) for end in range(first, stop)]
    return sum(unit.inside for unit in units) + union(*states) - union(states[0]) - kept


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
