"""Partition planning: bytes in, boundaries out. Knows nothing of networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

from ..recompute.groups import group_ends
from .costs import StepBytes

TOLERANCE = 0.02
"""Partitions whose peaks differ by less than this share count as equally good."""


def module_peaks(step: StepBytes, boundaries: Sequence[str]) -> list[int]:
    """Return each module's peak: what is fixed or left by earlier modules, plus its own."""
    names = [unit.name for unit in step.units]
    ends = [names.index(boundary) + 1 for boundary in boundaries] + [len(names)]
    costs = SegmentCosts(step)
    plan = _NO_MODULES
    peaks = []
    for end in ends:
        peaks.append(costs.head_gradients(plan) + costs.peak(plan.end, end))
        plan = costs.extend(plan, end)
    return [peak + round(step.copies * plan.head_parameters) for peak in peaks]


def plan_boundaries(step: StepBytes, num_modules: int) -> list[str]:
    """Find the boundaries of ``num_modules`` modules with the smallest largest module peak.

    Exact up to :data:`TOLERANCE`, by dynamic programming over the units: of all ways to cover the
    first units with some modules, those are kept that no other one beats both in peak and in the
    parameters of its heads, which weigh on the peaks of all modules. Among equally good partitions
    the one with the latest boundaries is taken: the deeper the early modules, the less greedy
    their training.

    Args:
        step: The bytes.
        num_modules: Between 1 and the number of units.
    """
    costs = SegmentCosts(step)
    cheapest = _plans(costs, num_modules, sys.maxsize, lambda plan: -plan.peak)
    limit = int(min(map(costs.total, cheapest)) * (1 + TOLERANCE))
    latest = _plans(costs, num_modules, limit, lambda plan: plan.ends)[0]
    return [step.units[end - 1].name for end in latest.ends[:-1]]


def _plans(
    costs: SegmentCosts, num_modules: int, limit: int, worth: Callable[[_Plan], Any]
) -> list[_Plan]:
    """Return partitions whose peak is at most ``limit``, by falling worth.

    Of two plans for the same first units the worthier one makes the other needless, if it is no
    worse in peak and in the parameters of its heads.
    """
    num_units = len(costs.step.units)
    plans = {0: [_NO_MODULES]}
    for modules_left in range(num_modules - 1, -1, -1):
        last = num_units - modules_left
        longer: dict[int, list[_Plan]] = {}
        for end in range(1 if modules_left else last, last + 1):
            candidates = [costs.extend(p, end) for at in plans if at < end for p in plans[at]]
            candidates = [plan for plan in candidates if costs.total(plan) <= limit]
            longer[end] = _unbeaten(sorted(candidates, key=worth, reverse=True))
        plans = longer
    return plans[num_units]


def _unbeaten(plans: Sequence[_Plan]) -> list[_Plan]:
    kept: list[_Plan] = []
    for plan in plans:
        if not any(
            other.peak <= plan.peak and other.head_parameters <= plan.head_parameters
            for other in kept
        ):
            kept.append(plan)
    return kept


@dataclass(frozen=True)
class _Plan:
    """Some modules that cover the first units, up to ``end``."""

    ends: tuple[int, ...] = ()
    peak: int = 0
    head_parameters: int = 0

    @property
    def end(self) -> int:
        return self.ends[-1] if self.ends else 0


_NO_MODULES = _Plan()


class SegmentCosts:
    """Peak of the module made of ``units[start:end]``, from prefix sums."""

    def __init__(self, step: StepBytes) -> None:
        self.step = step
        self.peak = cache(self._peak)
        self.saved = _sums(unit.saved for unit in step.units)
        self.gradients = _sums(unit.gradients for unit in step.units)
        self.retained = _sums(unit.retained for unit in step.units)
        self.frozen = _sums(int(unit.frozen) for unit in step.units)

    def _peak(self, start: int, end: int) -> int:
        """Return the peak without the parameters of any local head."""
        units = self.step.units
        left = self.step.fixed + self.retained[start]
        left += units[start - 1].passed_on if start else 0
        left += 0 if self.step.updates_per_module else self.gradients[start]
        heads = self.step.peak_of_heads(start, end, self._has_heads(start, end))
        return left + max(self._held(start, end) + heads, self._backward(start, end))

    def _held(self, start: int, end: int) -> int:
        """Return what units hold between the passes, when the heads run."""
        if not self.step.group_size:
            return self.saved[end] - self.saved[start]
        units = self.step.units
        groups = self._groups(start, end)
        states = sum(units[last - 1].state_beyond(last - first) for first, last in groups)
        return states + sum(unit.kept for unit in units[start:end])

    def _backward(self, start: int, end: int) -> int:
        """Return the peak of the units' backward passes.

        All that a group saves is there again when its own begins, but for that of a module's last
        unit, which is made when it is asked for; what earlier groups hold, their inputs included,
        is there still.
        """
        units, peak, held = self.step.units, 0, 0
        for first, last in self._groups(start, end):
            for i in range(first, last):
                # Gradients of later units are there, those of this one are part of its peak.
                gradients = self.gradients[end] - self.gradients[i + 1]
                inside = self.saved[i] - self.saved[first]
                lazily = self.step.group_size > 1 and i == end - 1
                own = (lazily and units[i].cheap) or units[i].backward
                peak = max(peak, held + inside + own + gradients)
            held += units[last - 1].state_beyond(last - first)
            held += sum(unit.kept for unit in units[first:last])
        return peak

    def _groups(self, start: int, end: int) -> list[tuple[int, int]]:
        size = self.step.group_size or end - start
        recomputes = self.step.group_size > 0
        ends_group = [unit.ends_group and recomputes for unit in self.step.units[start:end]]
        ends = [start + stop for stop in group_ends(ends_group, size)]
        return list(zip([start, *ends[:-1]], ends, strict=True))

    def extend(self, plan: _Plan, end: int) -> _Plan:
        """Add the module that begins where the plan ends."""
        peak = self.head_gradients(plan) + self.peak(plan.end, end)
        heads = self.step.units[end - 1].head_parameters if self._has_heads(plan.end, end) else 0
        return _Plan((*plan.ends, end), max(plan.peak, peak), plan.head_parameters + heads)

    def head_gradients(self, plan: _Plan) -> int:
        """Return the gradients of a plan's heads that the next module finds."""
        return 0 if self.step.updates_per_module else plan.head_parameters

    def total(self, plan: _Plan) -> int:
        """Return the peak of a whole partition."""
        return plan.peak + round(self.step.copies * plan.head_parameters)

    def _has_heads(self, start: int, end: int) -> bool:
        is_tail = end == len(self.step.units)
        return not is_tail and self.frozen[end] - self.frozen[start] < end - start


def _sums(values: Iterable[int]) -> list[int]:
    return list(accumulate(values, initial=0))
