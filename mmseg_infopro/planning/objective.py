"""What a partition is judged by: the largest peak of one process, or the longest stage of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .boundaries import TOLERANCE, module_peaks, plan_boundaries
from .costs import StepBytes
from .device import Device
from .simulation.local_pipeline import border_bytes_alive, stage_peaks
from .simulation.stages import Stage
from .stage_costs import StageCosts

INFINITE = float('inf')


class Objective(Protocol):
    """What a plan is judged by."""

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the best boundaries of ``num_modules`` modules; None if none will do."""

    def peak(self, step: StepBytes, boundaries: Sequence[str]) -> int:
        """Return the planned bytes of the process that needs most."""

    def describe(self, step: StepBytes, boundaries: Sequence[str]) -> str:
        """Return what a plan promises, for the log; nothing where that is said elsewhere."""


@dataclass(frozen=True)
class SmallestPeak:
    """All modules run in one process: its peak counts."""

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the boundaries with the smallest largest module peak."""
        return plan_boundaries(step, num_modules)

    def peak(self, step: StepBytes, boundaries: Sequence[str]) -> int:
        """Return the largest module peak."""
        return max(module_peaks(step, boundaries))

    def describe(self, step: StepBytes, boundaries: Sequence[str]) -> str:
        """Return nothing: a dry step says more."""
        return ''


@dataclass(frozen=True)
class ShortestStage:
    """Each module runs in a process of its own: the slowest one says how fast all are.

    Attributes:
        device: Of each process.
        in_flight: ``local.in_flight``.
        cap: Bytes of tensors that a process may hold; None is no limit.
        tie: What is small, at most, in the best of equally fast partitions.
    """

    device: Device
    in_flight: int = 2
    cap: int | None = None
    tie: Callable[[Stage], float] | None = None

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the boundaries whose longest stage is shortest, of those within the cap.

        Exact, by dynamic programming: what a stage takes does not depend on the other ones. Of
        partitions that are equally fast, up to :data:`TOLERANCE`, the one with the latest
        boundaries is taken: the deeper the early modules, the less greedy their training.
        """
        costs, num_units = StageCosts(step, self.device), len(step.units)
        spans = self._spans(costs)
        for cost in filter(None, (_seconds, self.tie)):
            values = {span: cost(costs.stage(*span)) for span in spans}
            best = _shortest(values, num_units, num_modules)[num_modules][0]
            spans = [span for span in spans if values[span] <= best * (1 + TOLERANCE)]
        left = _shortest(dict.fromkeys(spans, 0.0), num_units, num_modules)
        if left[num_modules][0] == INFINITE:
            return None
        start, boundaries = 0, []
        for count in range(num_modules - 1, 0, -1):
            start = max(end for first, end in spans if first == start and not left[count][end])
            boundaries.append(step.units[start - 1].name)
        return boundaries

    def peak(self, step: StepBytes, boundaries: Sequence[str]) -> int:
        """Return the largest peak of a process, borders in flight included."""
        stages = StageCosts(step, self.device).partition(boundaries)
        return max(stage_peaks(stages, self.in_flight))

    def describe(self, step: StepBytes, boundaries: Sequence[str]) -> str:
        """Return each process's share of the time of all."""
        seconds = [s.seconds for s in StageCosts(step, self.device).partition(boundaries)]
        shares = ', '.join(f'{value / sum(seconds):.1%}' for value in seconds)
        return f', predicted shares of the time: {shares}'

    def _spans(self, costs: StageCosts) -> list[tuple[int, int]]:
        """Return all stages that may be, by their first unit and one past the last."""
        ends = range(1, len(costs.step.units) + 1)
        return [
            (start, end)
            for end in ends
            for start in range(end)
            if costs.trains(start, end) and self._fits(costs, start, end)
        ]

    def _fits(self, costs: StageCosts, start: int, end: int) -> bool:
        if self.cap is None:
            return True
        return stage_peak(costs, start, end, self.in_flight) <= self.cap


def stage_peak(costs: StageCosts, start: int, end: int, in_flight: int) -> int:
    """Return the peak of a process that trains ``units[start:end]``, borders in flight included."""
    stage = costs.stage(start, end)
    borders = border_bytes_alive(stage.border_bytes, in_flight)
    return stage.fixed_bytes + stage.peak_bytes + borders


def _seconds(stage: Stage) -> float:
    return stage.seconds


def _shortest(
    values: Mapping[tuple[int, int], float], num_units: int, num_modules: int
) -> list[list[float]]:
    """Return, by number of stages and first unit, the largest value of the best way to the end."""
    shortest = [[INFINITE] * (num_units + 1) for _ in range(num_modules + 1)]
    shortest[0][num_units] = 0.0
    for (start, end), value in sorted(values.items(), reverse=True):
        for count in range(1, num_modules + 1):
            way = max(value, shortest[count - 1][end])
            shortest[count][start] = min(shortest[count][start], way)
    return shortest
