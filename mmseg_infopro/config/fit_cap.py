"""From a memory cap to the fewest modules, and the least recomputing, that stay within it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

from mmengine.config import Config
from mmengine.logging import MMLogger

from ..local.settings import LocalSettings, check_num_modules
from ..measure.peaks import DryStep
from ..measure.sizes import format_bytes, parse_bytes
from ..measure.undrawn import undrawn_weights
from ..planning.boundaries import module_peaks, plan_boundaries
from ..planning.costs import StepBytes
from ..planning.global_pass import plan_global_pass
from ..planning.recompute import plan_recompute
from ..planning.unit_costs import measure_step
from ..recompute.groups import Recompute, RecomputeGroup
from .build import build_end_to_end
from .edit import global_recompute, set_global_recompute, set_partition, set_recompute
from .explain import explained_failure, nothing_fits
from .remedy import what_would_fit
from .step import dry_config_step, step_shape, updates_per_module

PLANNING_ERROR = 1.1
"""A plan's peak is taken to be at most this factor above that of the dry step."""
NUM_TARGETS = 4
"""Plans for recomputing that are tried for one K, each aiming lower where the last one missed."""


@dataclass(frozen=True)
class Fit:
    """A partition, and the dry step of the config with it.

    Attributes:
        boundaries: Of the partition.
        recompute: What the modules recompute.
        step: The one with the largest peak, if there are several kinds.
        global_groups: What global passes recompute, where that was to be found.
    """

    boundaries: tuple[str, ...]
    recompute: Recompute
    step: DryStep
    global_groups: tuple[RecomputeGroup, ...] | None = None

    @property
    def num_modules(self) -> int:
        """Return K."""
        return len(self.boundaries) + 1


class NothingFitsError(ValueError):
    """No partition stays within the cap.

    Attributes:
        smallest: The one with the smallest peak that was found.
    """

    def __init__(self, message: str, smallest: Fit) -> None:
        super().__init__(message)
        self.smallest = smallest


def tensor_cap(settings: LocalSettings) -> int:
    """Return the bytes that a cap leaves for tensors.

    Raises:
        ValueError: The margin leaves nothing of it.
    """
    cap, margin = parse_bytes(settings.memory_cap or 0), settings.margin_bytes
    if cap <= margin:
        raise ValueError(
            f'local.memory_cap must be above local.memory_margin={settings.memory_margin}, '
            f'got {settings.memory_cap}: ask for more, or set model.local.memory_margin'
        )
    return cap - margin


def fit_cap(
    cfg: Config,
    settings: LocalSettings,
    num_modules: range | None = None,
    report: Callable[[str], None] | None = None,
    measured: StepBytes | None = None,
) -> Fit:
    """Find the fewest modules, then the fewest repeated FLOPs, within ``settings.memory_cap``.

    Every candidate takes a dry step, so that what is returned is within the cap and not only
    planned to be.

    Args:
        cfg: With a segmentor that trains in local modules.
        settings: Its ``model.local``.
        num_modules: Those to try, in order; all if not given.
        report: Is told of every dry step; the log if not given.
        measured: What :func:`measure_config` returned, where the caller has it already.

    Raises:
        NothingFitsError: No partition stays within the cap.
        ValueError: The margin leaves nothing of it.
    """
    cap = tensor_cap(settings)
    report = report or MMLogger.get_current_instance().info
    step = measured or measure_config(cfg, settings)
    # With one module a schedule of local passes has nothing to say.
    fewest = 1 if settings.schedule['type'] == 'Local' else 2
    counts = num_modules or range(fewest, len(step.units) + 1)
    check_num_modules(counts[-1], len(step.units), cfg.model.backbone.type)
    trials = _recomputing_trials if settings.recompute == 'auto' else _plain_trials
    tried: list[Fit] = []
    for fit in trials(cfg, settings, step, cap, counts):
        peak = fit.step.peak.total
        report(f'{fit.num_modules} local modules: predicted peak {format_bytes(peak)}')
        if peak <= cap:
            return fit
        tried.append(fit)
    smallest = min(tried, key=lambda fit: fit.step.peak.total)
    message = nothing_fits(settings, cap, smallest.step, smallest.num_modules)
    if smallest.step.kind == 'global':
        message += f'; {what_would_fit(set_fit(cfg, smallest), cap)}'
    raise NothingFitsError(message, smallest)


def nearest_fit(
    cfg: Config,
    settings: LocalSettings,
    num_modules: int | None = None,
    measured: StepBytes | None = None,
) -> tuple[Fit, bool]:
    """Return what :func:`fit_cap` finds, or the smallest that does not fit; and whether it fits.

    Args:
        cfg: As for :func:`fit_cap`.
        settings: As for :func:`fit_cap`.
        num_modules: K; as few as fit if not given.
        measured: As for :func:`fit_cap`.
    """
    counts = None if num_modules is None else range(num_modules, num_modules + 1)
    try:
        return fit_cap(cfg, settings, counts, lambda _: None, measured), True
    except NothingFitsError as error:
        return error.smallest, False


def measure_config(cfg: Config, settings: LocalSettings) -> StepBytes:
    """Measure the units and heads of a config's model, for its own step."""
    shape = step_shape(cfg)
    with undrawn_weights():
        model = build_end_to_end(cfg)
    with explained_failure(shape):
        return measure_step(
            model,
            settings.heads,
            model.head_defaults(),
            shape,
            settings.recompute,
            updates_per_module(cfg, settings),
        )


def _plain_trials(
    cfg: Config, settings: LocalSettings, step: StepBytes, cap: int, counts: range
) -> Iterator[Fit]:
    """Yield the best partition of each K, those apart that the plan says are far above the cap."""
    smallest = None
    for count in counts:
        boundaries = plan_boundaries(step, count)
        planned = max(module_peaks(step, boundaries))
        if smallest is not None and planned > PLANNING_ERROR * max(cap, smallest):
            continue
        fit = _trial(cfg, step, cap, tuple(boundaries), settings.recompute)
        smallest = min(smallest or fit.step.peak.total, fit.step.peak.total)
        yield fit


def _recomputing_trials(
    cfg: Config, settings: LocalSettings, step: StepBytes, cap: int, counts: range
) -> Iterator[Fit]:
    """Yield, for each K, plans for falling targets up to one whose dry step is within the cap.

    The last one is about the smallest that any plan reaches.
    """
    for count in counts:
        target, last = float(cap), None
        for _ in range(NUM_TARGETS):
            plan = plan_recompute(step, count, int(target))
            if plan is None:
                break
            if plan == last:
                target *= 0.99
                continue
            last = plan
            fit = _trial(cfg, step, cap, plan.boundaries, plan.groups)
            yield fit
            target *= 0.998 * min(1, cap / fit.step.peak.total)
    yield _smallest(cfg, step, cap, counts)


def plan_fits(step: StepBytes, num_modules: int, settings: LocalSettings, cap: int) -> bool:
    """Whether a plan for ``num_modules`` is within ``cap`` bytes of tensors."""
    if settings.recompute == 'auto':
        return plan_recompute(step, num_modules, cap) is not None
    return max(module_peaks(step, plan_boundaries(step, num_modules))) <= cap


def _smallest(cfg: Config, step: StepBytes, cap: int, counts: range) -> Fit:
    """Return about the smallest peak that any plan reaches."""
    plain = {count: plan_boundaries(step, count) for count in counts}
    low, high, best = 0, max(max(module_peaks(step, plain[count])) for count in counts), None
    left = list(reversed(counts))
    while high > 1.01 * low:
        target = (low + high) // 2
        plans = ((count, plan_recompute(step, count, target)) for count in left)
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


def set_fit(cfg: Config, fit: Fit) -> Config:
    """Return a copy of ``cfg`` with what was found in place of the cap."""
    cfg = deepcopy(cfg)
    set_partition(cfg, boundaries=list(fit.boundaries))
    set_recompute(cfg, fit.recompute)
    if fit.global_groups is not None:
        set_global_recompute(cfg, fit.global_groups)
    cfg.model.local.pop('memory_margin', None)
    return cfg
