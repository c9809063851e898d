"""Partitions to try under a cap, each with its dry step, the most promising first."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

from mmengine.config import Config

from ..local.settings import LocalSettings
from ..measure.peaks import DryStep
from ..planning.boundaries import plan_boundaries
from ..planning.costs import StepBytes, recomputing_as
from ..planning.global_pass import plan_global_pass
from ..planning.objective import Objective
from ..recompute.groups import Recompute, RecomputeGroup
from .edit import global_recompute, set_global_recompute, set_partition, set_recompute
from .objective import objective_of
from .step import dry_config_step

PLANNING_ERROR = 1.1
"""A plan's peak is taken to be at most this factor above that of the dry step."""
NUM_TARGETS = 4
"""Plans for recomputing that are tried for one K, each aiming lower where the last one missed."""
USUAL_MISS = 1.005
"""Factor by which a dry step is above what its plan with recomputing aimed for, mostly."""


@dataclass(frozen=True)
class Fit:
    """A partition, and the dry step of the config with it.

    Attributes:
        boundaries: Of the partition.
        recompute: What the modules recompute.
        step: The one with the largest peak, if there are several kinds.
        global_groups: What global passes recompute, where that was to be found.
        missed: Factor by which the dry step is above what the plan with recomputing aimed for.
    """

    boundaries: tuple[str, ...]
    recompute: Recompute
    step: DryStep
    global_groups: tuple[RecomputeGroup, ...] | None = None
    missed: float = 1.0

    @property
    def num_modules(self) -> int:
        """Return K."""
        return len(self.boundaries) + 1


def plain_trials(
    cfg: Config, settings: LocalSettings, step: StepBytes, cap: int, counts: range
) -> Iterator[Fit]:
    """Yield the best partition of each K, those apart that the plan says are far above the cap."""
    smallest = None
    within, without = (objective_of(cfg, settings, limit) for limit in (cap, None))
    for count in counts:
        boundaries = within.plan(step, count) or without.plan(step, count)
        if boundaries is None:  # a module would have nothing to train
            continue
        planned = within.peak(step, boundaries)
        if smallest is not None and planned > PLANNING_ERROR * max(cap, smallest):
            continue
        fit = _trial(cfg, step, cap, tuple(boundaries), settings.recompute)
        smallest = min(smallest or fit.step.peak.total, fit.step.peak.total)
        yield fit


def recomputing_trials(
    cfg: Config,
    settings: LocalSettings,
    step: StepBytes,
    cap: int,
    counts: range,
    down_to_smallest: bool = True,
    miss: float = USUAL_MISS,
) -> Iterator[Fit]:
    """Yield, for each K, plans for falling targets up to one whose dry step is within the cap.

    The first target is below the cap by the factor ``miss``, or if nothing fits that, the cap
    itself. Plans may ask for more than is needed: before the first that spends FLOPs, or where none
    is left, comes ``'cheap'`` if it may fit. The last one is about the smallest that any plan
    reaches, if that is wanted.
    """
    judged_by = objective_of(cfg, settings)
    for count in counts:
        target, last = float(cap), None
        plan = judged_by.plan_recompute(step, count, cap)
        lower = None if plan is None else judged_by.plan_recompute(step, count, int(cap / miss))
        if lower is not None:
            target, plan = cap / miss, lower
        cheap = _cheap_trial(cfg, judged_by, step, cap, count)
        for _ in range(NUM_TARGETS):
            if plan is None or judged_by.prefers_cheap(plan, step):
                yield from cheap  # once: then it is exhausted
            if plan is None:
                break
            if plan == last:
                target *= 0.99
            else:
                last = plan
                fit = _trial(cfg, step, cap, plan.boundaries, plan.groups)
                fit = replace(fit, missed=fit.step.peak.total / target)
                yield fit
                target *= 0.998 * min(1, cap / fit.step.peak.total)
            plan = judged_by.plan_recompute(step, count, int(target))
    if down_to_smallest:
        yield _smallest(cfg, judged_by, step, cap, counts)


def _cheap_trial(
    cfg: Config, judged_by: Objective, step: StepBytes, cap: int, count: int
) -> Iterator[Fit]:
    """Yield K modules that repeat no FLOPs, unless they are planned to be far above the cap."""
    cheap = recomputing_as(step, 'cheap')
    boundaries = judged_by.plan(cheap, count)
    if boundaries is not None and judged_by.peak(cheap, boundaries) <= PLANNING_ERROR * cap:
        yield _trial(cfg, step, cap, tuple(boundaries), 'cheap')


def _smallest(cfg: Config, judged_by: Objective, step: StepBytes, cap: int, counts: range) -> Fit:
    """Return about the smallest peak that any plan reaches."""
    plain = {count: plan_boundaries(step, count) for count in counts}
    low = min(judged_by.smallest_cap(step, count) for count in counts)
    high, best = max(judged_by.peak(step, plain[count]) for count in counts), None
    left = list(reversed(counts))
    while high > 1.01 * low:
        target = (low + high) // 2
        plans = ((count, judged_by.plan_recompute(step, count, target)) for count in left)
        count, plan = next(((count, plan) for count, plan in plans if plan), (0, None))
        if plan is None:
            low = target
        else:
            high, best = target, plan
            left = left[left.index(count) :]  # what was too large for this is for less
    if best is None:
        return _trial(cfg, step, cap, tuple(plain[counts[0]]), _all_recomputed(step))
    return _trial(cfg, step, cap, best.boundaries, best.groups)


def _all_recomputed(step: StepBytes) -> tuple[RecomputeGroup, ...]:
    return tuple(RecomputeGroup(unit.name, 'units') for unit in step.units)


def _trial(
    cfg: Config, step: StepBytes, cap: int, boundaries: tuple[str, ...], recompute: Recompute
) -> Fit:
    trial = deepcopy(cfg)
    set_partition(trial, boundaries=list(boundaries))
    set_recompute(trial, recompute)
    if global_recompute(trial) != 'auto' or not boundaries:
        return Fit(boundaries, recompute, dry_config_step(trial))
    target = float(cap)
    for _ in range(NUM_TARGETS):
        groups = plan_global_pass(step, boundaries, int(target))
        set_global_recompute(trial, groups or _all_recomputed(step))
        fit = Fit(boundaries, recompute, dry_config_step(trial), groups or _all_recomputed(step))
        if groups is None or fit.step.kind != 'global' or fit.step.peak.total <= cap:
            break
        target *= 0.998 * cap / fit.step.peak.total
    return fit
