"""Planning for a memory cap: what to recompute so that it costs least. Pure functions.

The partition is chosen by dynamic programming over the modules, each of which runs in the cheapest
of its :class:`~.module_ways.ModuleWays`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain, pairwise

import numpy as np

from ..recompute.groups import RecomputeGroup
from .costs import StepBytes
from .module_ways import CappedModule, ModuleWays

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
    within = _Cap(step, num_modules, cap)
    num_units = len(step.units)
    if within.floor() > cap:
        return None
    modules = ModuleWays(step, within.room)

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
    spans = list(pairwise([*ends, num_units]))
    return capped_plan(step, spans, [modules.module(*span) for span in spans])


def capped_plan(
    step: StepBytes, spans: Sequence[tuple[int, int]], modules: Sequence[CappedModule]
) -> CappedPlan:
    """Return the plan of some modules.

    Args:
        step: The bytes.
        spans: First unit and one past the last of each.
        modules: How each runs.
    """
    return CappedPlan(
        tuple(step.units[end - 1].name for _, end in spans[:-1]),
        tuple(chain.from_iterable(module.groups for module in modules)),
        sum(module.flops for module in modules),
    )


def smallest_cap(step: StepBytes, num_modules: int) -> int:
    """Return a cap below which nothing fits: the heads of the last module alone need more.

    Args:
        step: As for :func:`plan_recompute`.
        num_modules: As for :func:`plan_recompute`.
    """
    return _Cap(step, num_modules, 0).floor()


class _Cap:
    """What a cap leaves to each module of one process."""

    def __init__(self, step: StepBytes, num_modules: int, cap: int) -> None:
        self.step = step
        # Where the boundaries are is not known yet: as if all heads were the largest.
        largest = max(unit.head_parameters for unit in step.units)
        self.head_parameters = (num_modules - 1) * largest
        self.asked, self.num_modules = cap, num_modules
        self.cap = cap - step.fixed - round(step.copies * self.head_parameters)
        self.gradients = list(accumulate((unit.gradients for unit in step.units), initial=0))
        self.retained = list(accumulate((unit.retained for unit in step.units), initial=0))

    def floor(self) -> int:
        """Return what the heads of the last module need, wherever it begins, with what is left."""
        last = len(self.step.units)
        starts = range(self.num_modules - 1, last if self.num_modules > 1 else 1)
        final = self.step.units[-1]
        room = max(self.room(start, last) - final.state_beyond(last - start) for start in starts)
        return self.asked - room + self.step.tail_heads

    def room(self, start: int, end: int) -> int:
        """Return the bytes that are left to a module from ``start`` on, wherever it ends."""
        units, step = self.step.units, self.step
        left = self.retained[start]
        left += units[start - 1].passed_on if start else 0
        if not step.updates_per_module:
            left += self.gradients[start] + self.head_parameters
        return self.cap - left
