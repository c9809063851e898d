"""The ways to run each possible module of a step, and the cheapest that fits a cap.

A module's groups are chosen by dynamic programming over its units: of all ways to run the first
units those are kept that no other one beats both in the bytes that they hold between the passes and
in what their recomputing costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from operator import attrgetter

import numpy as np

from ..recompute.groups import RecomputeGroup
from .costs import StepBytes
from .group_ways import MOST, GroupOptions, Ways, group_options, unbeaten

LONGEST_GROUP = 8
"""Units in a group at most: the longer it is, the more its backward pass holds."""


@dataclass(frozen=True)
class CappedModule:
    """How a module runs within a cap.

    Attributes:
        groups: Of its units, in order.
        flops: That recomputing repeats in a step.
        cost: Of recomputing, in FLOPs: see :mod:`group_ways`.
    """

    groups: tuple[RecomputeGroup, ...]
    flops: int
    cost: int


class ModuleWays:
    """The cheapest way to run each possible module within a cap.

    Args:
        step: The bytes, with the operations of every unit.
        room: Returns, of ``units[start:end]``, the bytes that are left to its activations and
            gradients: what else is alive, the state that it starts from as well, is not in them.
    """

    def __init__(self, step: StepBytes, room: Callable[[int, int], int]) -> None:
        self.step, self.room = step, room
        self.gradients = self._sums('gradients')
        self.retained = self._sums('retained')
        self.frozen = self._sums('frozen')
        features = (sum(head.feature for head in unit.auxiliary) for unit in step.units)
        self.auxiliary_features = list(accumulate(features, initial=0))
        self.options = _options_of(step)
        self.ways = cache(self._ways)
        self.best = cache(self._best)

    def _sums(self, name: str) -> list[int]:
        return list(accumulate(map(attrgetter(name), self.step.units), initial=0))

    def cost(self, start: int, end: int) -> float:
        """Return the cost of the module ``units[start:end]``; infinite if it does not fit."""
        way = self.best(start, end)
        return np.inf if way is None else int(self._ways_to(start, end)[end].cost[way])

    def module(self, start: int, end: int) -> CappedModule:
        """Return how the module ``units[start:end]``, which fits, runs."""
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
        return CappedModule(tuple(groups[::-1]), flops, int(self.cost(start, end)))

    def _best(self, start: int, end: int) -> int | None:
        """Return which of the ways to run ``units[start:end]`` costs least."""
        ways, units = self._ways_to(start, end)[end], self.step.units
        trains = self.frozen[end] - self.frozen[start] < end - start
        heads = self.step.peak_of_heads(start, end, trains)
        gradients = 0 if end == len(units) else self.gradients[end]
        if end < len(units) and trains:
            gradients += units[end - 1].head_parameters
        room = self.room(start, end)
        fits = ways.held + heads <= room
        # What the next module starts from is there; the last group's own peak has it.
        passed_on = 0 if end == len(units) else units[end - 1].state_beyond(end - start)
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
        units = self.step.units
        ends = [len(units)] if is_tail else range(start + 1, len(units))
        room = max((self.room(start, end) for end in ends), default=0)
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
                state = units[end - 1].state_beyond(end - first)
                # Gradients of features within the module, which its heads have left.
                waiting = self.auxiliary_features[first] - self.auxiliary_features[start]
                waiting += self.retained[first] - self.retained[start] if is_tail else 0
                waiting += later - self.gradients[end]
                extended = reached[first].extend(self.options(first, end), first, state, waiting)
                found.append(extended.take(np.flatnonzero(extended.released <= room)))
            if found:
                reached[end] = unbeaten(found)
        return reached


@lru_cache(maxsize=1)
def _options_of(step: StepBytes) -> Callable[[int, int], GroupOptions]:
    """Return what gives the ways to run ``units[first:end]`` as one group, kept for other plans.

    They depend neither on the number of modules nor on the cap.
    """
    return cache(lambda first, end: group_options(step.units[first:end]))
