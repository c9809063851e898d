"""Planning for a memory cap: what to recompute so that it costs least. Pure functions.

A module's groups are chosen by dynamic programming over its units: of all ways to run the first
units those are kept that no other one beats both in the bytes that they hold between the passes and
in what their recomputing costs. The partition is chosen by dynamic programming over the modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from .grouping import RecomputeGroup
from .planning import StepBytes

LONGEST_GROUP = 8
"""Units in a group at most: the longer it is, the more its backward pass holds."""
FLOPS_PER_BYTE = 20
"""What it costs to make a byte of activations again, besides the FLOPs of compute operations: as
long as so many FLOPs, on current GPUs in single precision (an H100: 67e12/s over 3.4e12 B/s)."""
COST_TOLERANCE = 0.002
"""Partitions whose costs differ by less than this share of the units' FLOPs are equally good."""
NUM_WAYS = 64
"""Ways to run the same first units that are followed."""

Ints = NDArray[np.int64]
MOST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class CappedPlan:
    """A partition that fits a cap.

    Attributes:
        boundaries: Of its modules.
        groups: Of all units, in order.
        flops: That recomputing repeats in a step.
    """

    boundaries: tuple[str, ...]
    groups: tuple[RecomputeGroup, ...]
    flops: int


@dataclass(frozen=True)
class _Options:
    """The ways to run one group, by falling bytes that it keeps and rising cost.

    Attributes:
        kept: Bytes.
        cost: Of recomputing, in FLOPs.
        flops: What of the cost compute operations are.
        saved: As in :class:`RecomputeGroup`.
        backward: Peak of its backward pass beyond what earlier groups hold, for all of them.
    """

    kept: Ints
    cost: Ints
    flops: Ints
    saved: tuple[str | tuple[int, ...], ...]
    backward: int


@dataclass(frozen=True)
class _Ways:
    """The ways to run the first units of a module, one per element.

    Attributes:
        held: Bytes held between the passes, the module's and the next group's inputs apart.
        cost: Of recomputing, in FLOPs.
        backward: Peak of the backward passes; but for the tail, less the gradients of all units.
        earlier: That of all groups but the last.
        start: First unit of the last group.
        before: Element of the ways up to ``start``.
        option: Of the last group.
    """

    held: Ints
    cost: Ints
    backward: Ints
    earlier: Ints
    start: Ints
    before: Ints
    option: Ints

    def take(self, chosen: Ints) -> _Ways:
        """Return some of them."""
        return _Ways(*(array[chosen] for array in vars(self).values()))


def plan_recompute(step: StepBytes, num_modules: int, cap: int) -> CappedPlan | None:
    """Find the partition into ``num_modules`` that fits ``cap`` and recomputes least.

    What recomputing costs are its FLOPs, and :data:`FLOPS_PER_BYTE` for all that is made again.
    Among equally good partitions, see :data:`COST_TOLERANCE`, the one with the latest boundaries is
    taken: the deeper the early modules, the less greedy their training.

    Args:
        step: The bytes, with the operations of every unit.
        num_modules: Between 1 and the number of units.
        cap: Of the bytes of tensors.

    Returns:
        None if nothing fits.
    """
    modules = _Modules(step, num_modules, cap)
    num_units = len(step.units)

    @cache
    def least(start: int, left: int) -> float:
        """Return the cost of ``units[start:]`` in ``left`` modules."""
        if left == 1:
            return modules.cost(start, num_units)
        ends = range(start + 1, num_units - left + 2)
        return min(modules.cost(start, end) + least(end, left - 1) for end in ends)

    limit = least(0, num_modules)
    if limit == np.inf:
        return None
    limit += COST_TOLERANCE * sum(op.flops for unit in step.units for op in unit.operations)
    ends = [0]
    for left in range(num_modules - 1, 0, -1):
        start = ends[-1]
        ends.append(
            max(
                end
                for end in range(start + 1, num_units - left + 1)
                if modules.cost(start, end) + least(end, left) <= limit
            )
        )
        limit -= modules.cost(start, ends[-1])
    return modules.plan([*ends, num_units])


class _Modules:
    """The cheapest way to run each possible module within the cap."""

    def __init__(self, step: StepBytes, num_modules: int, cap: int) -> None:
        self.step = step
        # Where the boundaries are is not known yet: as if all heads were the largest.
        largest = max(unit.head_parameters for unit in step.units)
        self.head_parameters = (num_modules - 1) * largest
        self.cap = cap - step.fixed - step.copies * self.head_parameters
        self.gradients = self._sums('gradients')
        self.retained = self._sums('retained')
        self.auxiliary = self._sums('auxiliary')
        self.auxiliary_features = self._sums('auxiliary_feature')
        self.frozen = self._sums('frozen')
        self.options = cache(self._options)
        self.ways = cache(self._ways)
        self.best = cache(self._best)

    def _sums(self, name: str) -> list[int]:
        return list(accumulate(map(attrgetter(name), self.step.units), initial=0))

    def cost(self, start: int, end: int) -> float:
        """Return the cost of the module ``units[start:end]``; infinite if it does not fit."""
        way = self.best(start, end)
        return np.inf if way is None else int(self._ways_to(start, end)[end].cost[way])

    def plan(self, ends: list[int]) -> CappedPlan:
        """Return the plan whose modules begin and end at these units, the first one being 0."""
        groups: list[RecomputeGroup] = []
        flops = 0
        for start, end in pairwise(ends):
            found, repeated = self._groups(start, end)
            groups += found
            flops += repeated
        boundaries = tuple(self.step.units[end - 1].name for end in ends[1:-1])
        return CappedPlan(boundaries, tuple(groups), flops)

    def _groups(self, start: int, end: int) -> tuple[list[RecomputeGroup], int]:
        """Return a module's groups, and the FLOPs that they repeat."""
        groups: list[RecomputeGroup] = []
        way, stop, flops = self.best(start, end), end, 0
        while stop > start:
            ways = self._ways_to(start, end)[stop]
            first, option = int(ways.start[way]), int(ways.option[way])
            options, unit = self.options(first, stop), self.step.units[stop - 1]
            flops += int(options.flops[option])
            saved = options.saved[option]
            follows = groups and groups[-1].saved == 'all' and not unit.ends_group
            if saved != 'all' or not follows:
                groups.append(RecomputeGroup(unit.name, saved))
            way, stop = int(ways.before[way]), first
        return groups[::-1], flops

    def _room(self, start: int) -> int:
        """Return the bytes of the cap that are left to a module which begins at ``start``."""
        units, step = self.step.units, self.step
        left = self.retained[start] + (units[start - 1].state if start else 0)
        if not step.updates_per_module:
            left += self.gradients[start] + self.head_parameters
        return self.cap - left

    def _best(self, start: int, end: int) -> int | None:
        """Return which of the ways to run ``units[start:end]`` costs least."""
        ways, units = self._ways_to(start, end)[end], self.step.units
        heads = self.auxiliary[end] - self.auxiliary[start]
        gradients = 0
        if end == len(units):
            heads += self.step.tail_heads
        else:
            gradients = self.gradients[end]
            if self.frozen[end] - self.frozen[start] < end - start:
                heads += units[end - 1].heads
                gradients += units[end - 1].head_parameters
        room, state = self._room(start), units[end - 1].state
        fits = ways.held + state + heads <= room
        # What the next module starts from is there; the last group's own peak has it.
        passed_on = 0 if end == len(units) else state
        fits &= np.maximum(ways.backward, ways.earlier + passed_on) + gradients <= room
        return int(np.argmin(np.where(fits, ways.cost, MOST))) if fits.any() else None

    def _ways_to(self, start: int, end: int) -> list[_Ways]:
        return self.ways(start, end == len(self.step.units))

    def _ways(self, start: int, is_tail: bool) -> list[_Ways]:
        """Return, for each end, the ways to run ``units[start:end]``; those before are empty.

        Of the tail it is known which gradients are there when a group's backward pass runs.
        Elsewhere that depends on where the module ends: ways with small backward passes are
        followed as well.
        """
        units, room = self.step.units, self._room(start)
        later = self.gradients[-1] + self.step.tail_gradients if is_tail else 0
        nothing = np.zeros(0, np.int64)
        reached = [_Ways(*[nothing] * 7)] * (len(units) + 1)
        reached[start] = _Ways(*[np.zeros(1, np.int64)] * 7)
        for end in range(start + 1, len(units) + 1):
            found = []
            for first in range(end - 1, max(start, end - LONGEST_GROUP) - 1, -1):
                if first < end - 1 and units[first].ends_group:
                    break
                entry = units[first - 1].state if first > start else 0
                # Gradients of features within the module, which its heads have left.
                waiting = self.auxiliary_features[first] - self.auxiliary_features[start]
                waiting += self.retained[first] - self.retained[start] if is_tail else 0
                extended = self._extend(reached[first], first, end, entry, later + waiting)
                found.append(extended.take(np.flatnonzero(extended.backward <= room)))
            reached[end] = _unbeaten(found)
        return reached

    def _extend(self, ways: _Ways, first: int, end: int, entry: int, later: int) -> _Ways:
        """Add the group ``units[first:end]`` to all ways.

        It holds ``entry`` bytes of input; ``later`` ones are there from what runs after it.
        """
        options = self.options(first, end)
        shape = (len(ways.held), len(options.kept))
        held = ways.held + entry
        own = held + options.backward + later - self.gradients[end]
        before = np.arange(shape[0])[:, None]
        return _Ways(
            (held[:, None] + options.kept).ravel(),
            (ways.cost[:, None] + options.cost).ravel(),
            np.broadcast_to(np.maximum(ways.backward, own)[:, None], shape).ravel(),
            np.broadcast_to(ways.backward[:, None], shape).ravel(),
            np.full(shape, first).ravel(),
            np.broadcast_to(before, shape).ravel(),
            np.broadcast_to(np.arange(shape[1]), shape).ravel(),
        )

    def _options(self, first: int, end: int) -> _Options:
        """Return the ways to run ``units[first:end]``, cheapest FLOPs per byte given up first."""
        units = self.step.units[first:end]
        backward = inside = 0
        for position, unit in enumerate(units, start=first + 1):
            later = self.gradients[end] - self.gradients[position]
            backward = max(backward, inside + unit.backward + later)
            inside += unit.inside + unit.state
        made = inside - units[-1].state
        all_operations = [(op, unit is units[-1]) for unit in units for op in unit.operations]
        repeated = [
            (number, op)
            for number, (op, is_last) in enumerate(all_operations)
            # All that an inner unit computes, the next one asks for.
            if not is_last or (op.repeated and not op.returned)
        ]
        repeated.sort(key=lambda item: item[1].flops / max(1, item[1].output_bytes))
        sizes = [op.output_bytes for _, op in repeated]
        kept = sum(sizes) - np.cumsum([0, *sizes])
        flops = np.cumsum([0, *(op.flops for _, op in repeated)])
        saved: list[str | tuple[int, ...]] = [
            tuple(sorted(number for number, _ in repeated[dropped:]))
            for dropped in range(len(repeated) + 1)
        ]
        if len(units) == 1:
            kept, flops = np.append(made, kept), np.append(0, flops)
            saved.insert(0, 'all')
        cost = flops + FLOPS_PER_BYTE * (made - kept)
        return _Options(kept, cost, flops, tuple(saved), backward)


def _unbeaten(found: list[_Ways]) -> _Ways:
    columns = zip(*(vars(ways).values() for ways in found), strict=True)
    ways = _Ways(*map(np.concatenate, columns))
    ways = ways.take(np.lexsort((ways.backward, ways.cost, ways.held)))
    chosen = [_thinned(_falls(ways.cost)), _thinned(_falls(ways.backward))]
    return ways.take(np.unique(np.concatenate(chosen)))


def _falls(values: Ints) -> Ints:
    """Return where values are below all before."""
    return np.flatnonzero(np.diff(np.minimum.accumulate(values), prepend=MOST) < 0)


def _thinned(chosen: Ints) -> Ints:
    if len(chosen) <= NUM_WAYS:
        return chosen
    return chosen[np.linspace(0, len(chosen) - 1, NUM_WAYS).round().astype(int)]
