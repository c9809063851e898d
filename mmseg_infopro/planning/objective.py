"""What a partition is judged by: the largest peak of one process, or the longest stage of many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .borders import Borders
from .boundaries import module_peaks, plan_boundaries
from .costs import StepBytes, flops_of
from .device import Device
from .longest_stage import shortest_longest
from .recompute import CappedPlan, plan_recompute, smallest_cap
from .simulation.local_pipeline import stage_peaks
from .simulation.stages import Stage
from .stage_costs import StageCosts
from .stage_recompute import plan_stage_recompute

DEFAULT_BORDERS = Borders()
SPENDS = 0.01
"""Share of the units' FLOPs that a plan may repeat, without it being tried what repeats none."""


class Objective(Protocol):
    """What a plan is judged by."""

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the best boundaries of ``num_modules`` modules; None if none will do."""

    def peak(self, step: StepBytes, boundaries: Sequence[str]) -> int:
        """Return the planned bytes of the process that needs most."""

    def plan_recompute(self, step: StepBytes, num_modules: int, cap: int) -> CappedPlan | None:
        """Return the best partition within ``cap``, and what it recomputes; None if none is."""

    def prefers_cheap(self, plan: CappedPlan, step: StepBytes) -> bool:
        """Whether to try what repeats no FLOPs, ``'cheap'``, before a plan that recomputes."""

    def smallest_cap(self, step: StepBytes, num_modules: int) -> int:
        """Return a cap below which nothing fits."""

    def describe(self, step: StepBytes, boundaries: Sequence[str]) -> str:
        """Return what a plan promises, for the log; nothing where that is said elsewhere."""


@dataclass(frozen=True)
class SmallestPeak:
    """All modules run in one process: its peak counts."""

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the boundaries with the smallest largest module peak."""
        return plan_boundaries(step, num_modules)

    def plan_recompute(self, step: StepBytes, num_modules: int, cap: int) -> CappedPlan | None:
        """Return the partition that recomputes least."""
        return plan_recompute(step, num_modules, cap)

    def prefers_cheap(self, plan: CappedPlan, step: StepBytes) -> bool:
        """Return whether the plan spends FLOPs."""
        return plan.flops > SPENDS * flops_of(step)

    def smallest_cap(self, step: StepBytes, num_modules: int) -> int:
        """Return what the heads of the last module alone need."""
        return smallest_cap(step, num_modules)

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
        borders: Between the processes.
        cap: Bytes of tensors that a process may hold; None is no limit.
        tie: What is small, at most, in the best of equally fast partitions.
    """

    device: Device
    borders: Borders = DEFAULT_BORDERS
    cap: int | None = None
    tie: Callable[[Stage], float] | None = None

    def plan(self, step: StepBytes, num_modules: int) -> list[str] | None:
        """Return the boundaries whose longest stage is shortest, of those within the cap.

        Of equally fast partitions those with the smallest ``tie``, then see
        :func:`~.longest_stage.shortest_longest`.
        """
        costs = self._costs(step)
        stages = {span: costs.stage(*span) for span in self._spans(costs)}
        criteria = [
            {span: cost(stage) for span, stage in stages.items()}
            for cost in filter(None, (_seconds, self.tie))
        ]
        found = shortest_longest(len(step.units), num_modules, *criteria)
        return None if found is None else [step.units[end - 1].name for _, end in found[:-1]]

    def plan_recompute(self, step: StepBytes, num_modules: int, cap: int) -> CappedPlan | None:
        """Return the partition whose longest stage is shortest, recomputing included."""
        return plan_stage_recompute(self._costs(step), num_modules, cap)

    def prefers_cheap(self, plan: CappedPlan, step: StepBytes) -> bool:
        """Return False: time counts, in which the plan's recomputing is."""
        return False

    def smallest_cap(self, step: StepBytes, num_modules: int) -> int:
        """Return the least that is left to the last module, wherever it begins."""
        costs, last = self._costs(step), len(step.units)
        return min(costs.overhead(start, last) for start in range(num_modules - 1, last))

    def peak(self, step: StepBytes, boundaries: Sequence[str]) -> int:
        """Return the largest peak of a process, borders in flight included."""
        return max(stage_peaks(self._costs(step).partition(boundaries), self.borders))

    def describe(self, step: StepBytes, boundaries: Sequence[str]) -> str:
        """Return each process's share of the time of all."""
        seconds = [stage.seconds for stage in self._costs(step).partition(boundaries)]
        shares = ', '.join(f'{value / sum(seconds):.1%}' for value in seconds)
        return f', predicted shares of the time: {shares}'

    def _costs(self, step: StepBytes) -> StageCosts:
        return StageCosts(step, self.device, borders=self.borders)

    def _spans(self, costs: StageCosts) -> list[tuple[int, int]]:
        """Return all stages that may be, by their first unit and one past the last."""
        ends = range(1, len(costs.step.units) + 1)
        return [
            (start, end)
            for end in ends
            for start in range(end)
            if costs.trains(start, end) and (self.cap is None or costs.peak(start, end) <= self.cap)
        ]


def _seconds(stage: Stage) -> float:
    return stage.seconds
