"""What each process of a pipeline recomputes to stay within a cap. Pure functions."""

from __future__ import annotations

from ..measure.work import Work
from .group_ways import FLOPS_PER_BYTE
from .longest_stage import INFINITE, shortest_longest
from .module_ways import CappedModule, ModuleWays
from .recompute import CappedPlan, capped_plan
from .stage_costs import StageCosts


def plan_stage_recompute(costs: StageCosts, num_modules: int, cap: int) -> CappedPlan | None:
    """Find the partition whose longest stage is shortest, with what it recomputes to fit a cap.

    Each process recomputes as little as its own module needs: what it costs are FLOPs, and
    FLOPS_PER_BYTE of :mod:`group_ways` for what is made. That counts in its stage's time.

    Args:
        costs: Of a step with the operations of every unit.
        num_modules: K.
        cap: Bytes of tensors that a process may hold.

    Returns:
        None if nothing fits.
    """
    stages = _Stages(costs, cap)
    num_units = len(costs.step.units)
    ends = range(1, num_units + 1)
    seconds = {span: stages.seconds(*span) for span in ((a, b) for b in ends for a in range(b))}
    spans = shortest_longest(num_units, num_modules, seconds)
    if spans is None:
        return None
    return capped_plan(costs.step, spans, [stages.module(*span) for span in spans])


class _Stages:
    """The possible stages, each with the least recomputing that fits its process."""

    def __init__(self, costs: StageCosts, cap: int) -> None:
        self._costs, self._cap = costs, cap
        self._ways = ModuleWays(costs.step, self._room)

    def module(self, *span: int) -> CappedModule:
        return self._ways.module(*span)

    def seconds(self, *span: int) -> float:
        """Return the seconds of a stage, infinite if it does not fit or trains nothing."""
        if not self._costs.trains(*span) or self._ways.cost(*span) == INFINITE:
            return INFINITE
        module = self._ways.module(*span)
        again = Work(module.flops, (module.cost - module.flops) // FLOPS_PER_BYTE)
        return self._costs.stage(*span).seconds + self._costs.device.seconds(again)

    def _room(self, start: int, end: int) -> int:
        left = self._costs.overhead(start, end)
        if start:
            left += self._costs.border_bytes(start) + self._costs.step.units[start - 1].context
        return self._cap - left
