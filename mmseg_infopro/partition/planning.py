"""Partition planning: bytes in, boundaries out. Knows nothing of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

TOLERANCE = 0.02
"""Partitions whose peaks differ by less than this share count as equally good."""


@dataclass(frozen=True)
class UnitBytes:
    """What one unit adds to the memory of a training step.

    Attributes:
        name: Of the unit.
        saved: Activations that it keeps for its backward pass.
        state: What it passes on; a module keeps the state that it starts from.
        gradients: Of its parameters; they stay from its backward pass to the optimizer step.
        retained: Features that a later module reads.
        heads: Peak of the local heads, were the module to end here, beyond the saved activations.
        auxiliary: Peak of the auxiliary heads that read this unit's feature and no other; they
            train with the module that the unit is in.
        frozen: It has nothing to train; a module of frozen units has no local heads.
    """

    name: str
    saved: int
    state: int = 0
    gradients: int = 0
    retained: int = 0
    heads: int = 0
    auxiliary: int = 0
    frozen: bool = False


@dataclass(frozen=True)
class StepBytes:
    """The memory of a training step, taken apart.

    Attributes:
        units: In the order of the forward pass.
        tail_heads: Peak of neck, decode head and the auxiliary heads that always train there.
        fixed: What is alive all the time: parameters, optimizer state, the batch.
    """

    units: tuple[UnitBytes, ...]
    tail_heads: int = 0
    fixed: int = 0


def module_peaks(step: StepBytes, boundaries: Sequence[str]) -> list[int]:
    """Return each module's peak: what is fixed or left by earlier modules, plus its own."""
    names = [unit.name for unit in step.units]
    ends = [names.index(boundary) + 1 for boundary in boundaries] + [len(names)]
    costs = _SegmentCosts(step)
    return [costs.peak(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def plan_boundaries(step: StepBytes, num_modules: int) -> list[str]:
    """Find the boundaries of ``num_modules`` modules with the smallest largest module peak.

    Exact up to :data:`TOLERANCE`, by dynamic programming over the units. Among equally good
    partitions the one with the latest boundaries is taken: the deeper the early modules, the less
    greedy their training.

    Args:
        step: The bytes.
        num_modules: Between 1 and the number of units.
    """
    costs = _SegmentCosts(step)
    num_units = len(step.units)

    @cache
    def smallest(start: int, modules: int) -> int:
        """Return the smallest largest peak of ``units[start:]`` in ``modules`` modules."""
        if modules == 1:
            return costs.peak(start, num_units)
        ends = range(start + 1, num_units - modules + 2)
        return min(max(costs.peak(start, end), smallest(end, modules - 1)) for end in ends)

    limit = smallest(0, num_modules) * (1 + TOLERANCE)
    boundaries, start = [], 0
    for modules in range(num_modules, 1, -1):
        start = max(
            end
            for end in range(start + 1, num_units - modules + 2)
            if max(costs.peak(start, end), smallest(end, modules - 1)) <= limit
        )
        boundaries.append(step.units[start - 1].name)
    return boundaries


class _SegmentCosts:
    """Peak of the module made of ``units[start:end]``, from prefix sums."""

    def __init__(self, step: StepBytes) -> None:
        self.step = step
        self.saved = list(accumulate((unit.saved for unit in step.units), initial=0))
        left = (unit.gradients + unit.retained for unit in step.units)
        self.left = list(accumulate(left, initial=step.fixed))
        self.auxiliary = list(accumulate((unit.auxiliary for unit in step.units), initial=0))

    def peak(self, start: int, end: int) -> int:
        units = self.step.units
        heads = self.step.tail_heads if end == len(units) else units[end - 1].heads
        if end < len(units) and all(unit.frozen for unit in units[start:end]):
            heads = 0
        heads += self.auxiliary[end] - self.auxiliary[start]
        state = units[start - 1].state if start else 0
        return self.left[start] + state + self.saved[end] - self.saved[start] + heads
