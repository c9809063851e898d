"""Planning for a memory cap: what to recompute so that it costs least. Pure functions.

A module's groups are chosen by dynamic programming over its units: of all ways to run the first
units those are kept that no other one beats both in the bytes that they hold between the passes and
in what their recomputing costs. The partition is chosen by dynamic programming over the modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from operator import attrgetter

import numpy as np

from ..recompute.groups import RecomputeGroup
from .costs import StepBytes
from .group_ways import MOST, GroupOptions, Ways, group_options, unbeaten

LONGEST_GROUP = 8
"""Units in a group at most: the longer it is, the more its backward pass holds."""
COST_TOLERANCE = 0.002
"""Partitions whose costs differ by less than this share of the units' FLOPs are equally good."""


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


def plan_recompute(step: StepBytes, num_modules: int, cap: int) -> CappedPlan | None:
    """Find the partition into ``num_modules`` that fits ``cap`` and recomputes least.

    What recomputing costs are its FLOPs, and FLOPS_PER_BYTE of :mod:`group_ways` for what is made.
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
    if modules.floor() > cap:
        return None

    @cache
    def least(start: int, left: int) -> float:
        """Return the cost of ``units[start:]`` in ``left`` modules."""
        if left == 1:
            return modules.cost(start, num_units)
        cheapest = np.inf
        for end in range(start + 1, num_units - left + 2):
            cost = modules.cost(start, end)
            if cost < cheapest:  # what follows a module that does not fit need not be known
                cheapest = min(cheapest, cost + least(end, left - 1))
        return cheapest

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


def smallest_cap(step: StepBytes, num_modules: int) -> int:
    """Return a cap below which nothing fits: the heads of the last module alone need more.

    Args:
        step: As for :func:`plan_recompute`.
        num_modules: As for :func:`plan_recompute`.
    """
    return _Modules(step, num_modules, 0).floor()


class _Modules:
    """The cheapest way to run each possible module within the cap."""

    def __init__(self, step: StepBytes, num_modules: int, cap: int) -> None:
        self.step = step
        # Where the boundaries are is not known yet: as if all heads were the largest.
        largest = max(unit.head_parameters for unit in step.units)
        self.head_parameters = (num_modules - 1) * largest
        self.asked, self.num_modules = cap, num_modules
        self.cap = cap - step.fixed - round(step.copies * self.head_parameters)
        self.gradients = self._sums('gradients')
        self.retained = self._sums('retained')
        self.auxiliary = self._sums('auxiliary')
        self.auxiliary_features = self._sums('auxiliary_feature')
        self.frozen = self._sums('frozen')
        self.options = _options_of(step)
        self.ways = cache(self._ways)
        self.best = cache(self._best)

    def _sums(self, name: str) -> list[int]:
        return list(accumulate(map(attrgetter(name), self.step.units), initial=0))

    def floor(self) -> int:
        """Return what the heads of the last module need, wherever it begins, with what is left."""
        last = len(self.step.units)
        room = max(
            map(self._room, range(self.num_modules - 1, last if self.num_modules > 1 else 1))
        )
        return self.asked - room + self.step.tail_heads + self.step.units[-1].state

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
            names = [op.name for part in self.step.units[first:stop] for op in part.operations]
            follows = groups and groups[-1].saved == 'all' and not unit.ends_group
            if saved != 'all' or not follows:
                kept = saved if isinstance(saved, str) else {i: names[i] for i in saved}
                groups.append(RecomputeGroup(unit.name, kept))
            way, stop = int(ways.before[way]), first
        return groups[::-1], flops

    def _room(self, start: int) -> int:
        """Return the bytes of the cap that are left to a module which begins at ``start``."""
        units, step = self.step.units, self.step
        left = self.retained[start]
        left += units[start - 1].state + units[start - 1].context if start else 0
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

    def _ways_to(self, start: int, end: int) -> list[Ways]:
        return self.ways(start, end == len(self.step.units))

    def _ways(self, start: int, is_tail: bool) -> list[Ways]:
        """Return, for each end, the ways to run ``units[start:end]``; those before are empty.

        Of the tail it is known which gradients are there when a group's backward pass runs.
        Elsewhere that depends on where the module ends: ways with small backward passes are
        followed as well.
        """
        units, room = self.step.units, self._room(start)
        later = self.gradients[-1] + self.step.tail_gradients if is_tail else 0
        reached = [Ways.empty(0)] * (len(units) + 1)
        reached[start] = Ways.empty(1)
        for end in range(start + 1, len(units) + 1):
            found = []
            for first in range(end - 1, max(start, end - LONGEST_GROUP) - 1, -1):
                if first < end - 1 and units[first].ends_group:
                    break
                if not reached[first].held.size:
                    continue
                entry = units[first - 1].state if first > start else 0
                # Gradients of features within the module, which its heads have left.
                waiting = self.auxiliary_features[first] - self.auxiliary_features[start]
                waiting += self.retained[first] - self.retained[start] if is_tail else 0
                waiting += later - self.gradients[end]
                extended = reached[first].extend(self.options(first, end), first, entry, waiting)
                found.append(extended.take(np.flatnonzero(extended.backward <= room)))
            if found:
                reached[end] = unbeaten(found)
        return reached


@lru_cache(maxsize=1)
def _options_of(step: StepBytes) -> Callable[[int, int], GroupOptions]:
    """Return what gives the ways to run ``units[first:end]`` as one group, kept for other plans.

    They depend neither on the number of modules nor on the cap.
    """
    return cache(lambda first, end: group_options(step.units[first:end]))
