"""What a partition is judged by: the largest peak of one process, or the longest stage of many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .boundaries import TOLERANCE, plan_boundaries
from .costs import StepBytes
from .device import Device
from .simulation.local_pipeline import border_bytes_alive
from .stage_costs import StageCosts


class Objective(Protocol):
    """What a plan is judged by."""

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the best boundaries of ``num_modules`` modules; None if none will do."""


@dataclass(frozen=True)
class SmallestPeak:
    """All modules run in one process: its peak counts."""

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the boundaries with the smallest largest module peak."""
        return plan_boundaries(step, num_modules)


@dataclass(frozen=True)
class ShortestStage:
    """Each module runs in a process of its own: the slowest one says how fast all are.

    Attributes:
        device: Of each process.
        in_flight: ``local.in_flight``.
        cap: Bytes of tensors that a process may hold; None is no limit.
    """

    device: Device
    in_flight: int = 2
    cap: int | None = None

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the boundaries whose longest stage is shortest, of those within the cap.

        Exact, by dynamic programming: what a stage takes does not depend on the other ones. Of
        partitions that are equally fast, up to :data:`TOLERANCE`, the one with the latest
        boundaries is taken: the deeper the early modules, the less greedy their training.
        """
        num_units = len(step.units)
        seconds = self._spans(step)
        shortest = _shortest(seconds, num_units, num_modules)
        best = shortest[num_modules][0]
        if best == float('inf'):
            return None
        limit, start, boundaries = best * (1 + TOLERANCE), 0, []
        for left in range(num_modules - 1, 0, -1):
            start = max(
                end
                for end in range(start + 1, num_units)
                if max(seconds.get((start, end), float('inf')), shortest[left][end]) <= limit
            )
            boundaries.append(step.units[start - 1].name)
        return boundaries

    def _spans(self, step: StepBytes) -> dict[tuple[int, int], float]:
        """Return the seconds of all stages that may be, by first unit and one past the last."""
        costs, num_units = StageCosts(step, self.device), len(step.units)
        found = {}
        for start in range(num_units):
            for end in range(start + 1, num_units + 1):
                if costs.trains(start, end) and self._fits(costs, start, end):
                    found[start, end] = costs.stage(start, end).seconds
        return found

    def _fits(self, costs: StageCosts, start: int, end: int) -> bool:
        if self.cap is None:
            return True
        return stage_peak(costs, start, end, self.in_flight) <= self.cap


def stage_peak(costs: StageCosts, start: int, end: int, in_flight: int) -> int:
    """Return the peak of a process that trains ``units[start:end]``, borders in flight included."""
    stage = costs.stage(start, end)
    borders = border_bytes_alive(stage.border_bytes, in_flight)
    return stage.fixed_bytes + stage.peak_bytes + borders


def _shortest(
    seconds: dict[tuple[int, int], float], num_units: int, num_modules: int
) -> list[list[float]]:
    """Return, by number of stages and first unit, the longest stage of the best way to the end."""
    shortest = [[float('inf')] * (num_units + 1) for _ in range(num_modules + 1)]
    shortest[0][num_units] = 0.0
    for (start, end), value in sorted(seconds.items(), reverse=True):
        for count in range(1, num_modules + 1):
            way = max(value, shortest[count - 1][end])
            shortest[count][start] = min(shortest[count][start], way)
    return shortest
