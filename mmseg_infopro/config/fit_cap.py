"""From a memory cap to the fewest modules, and the least recomputing, that stay within it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmseg.models.segmentors import EncoderDecoder

from ..local.processes import BUCKET_CAP_MB
from ..local.settings import LocalSettings, check_num_modules
from ..measure.sizes import format_bytes, format_size, parse_bytes
from ..measure.undrawn import undrawn_weights
from ..planning.costs import StepBytes, recomputing_as
from ..planning.unit_costs import measure_step
from .build import build_end_to_end, end_to_end_model
from .edit import set_global_recompute, set_partition, set_recompute
from .explain import explained_failure, nothing_fits
from .objective import objective_of
from .recall import recalled
from .remedy import what_would_fit
from .step import step_shape, updates_per_module
from .trials import Fit, plain_trials, recomputing_trials


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
        wish, own = format_size(settings.memory_cap or 0), format_size(settings.memory_margin)
        raise ValueError(
            f'local.memory_cap must be above local.memory_margin={own}, got {wish}: '
            'ask for more, or set model.local.memory_margin'
        )
    return cap - margin


def exchange_bytes(cfg: Config) -> int:
    """Return the bytes that averaging gradients over processes adds: one bucket of them."""
    if cfg.get('launcher', 'none') == 'none':
        return 0
    bucket = (cfg.get('model_wrapper_cfg') or {}).get('bucket_cap_mb', BUCKET_CAP_MB) * 2**20
    with undrawn_weights():
        parameters = build_end_to_end(cfg).parameters()
        return int(max(bucket, *(p.nbytes for p in parameters if p.requires_grad)))


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
    cap = tensor_cap(settings) - exchange_bytes(cfg)
    report = report or MMLogger.get_current_instance().info
    step = measured or measure_config(cfg, settings)
    counts = num_modules or range(fewest_modules(settings), len(step.units) + 1)
    check_num_modules(counts[-1], len(step.units), cfg.model.backbone.type)
    trials = recomputing_trials if settings.recompute == 'auto' else plain_trials
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


def fewest_modules(settings: LocalSettings) -> int:
    """Return 2 where one module is no pipeline, or has no passes for a schedule or a context."""
    is_plain = settings.schedule['type'] == 'Local' and settings.context is None
    return 1 if is_plain and settings.placement != 'pipeline' else 2


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


def smallest_fit(cfg: Config, settings: LocalSettings) -> Fit:
    """Return K modules and about the smallest peak that recomputing inside them reaches.

    Args:
        cfg: As for :func:`fit_cap`.
        settings: With K, and without a cap.
    """
    count = settings.num_modules or 1
    step = measure_config(cfg, settings)
    check_num_modules(count, len(step.units), cfg.model.backbone.type)
    *_, fit = recomputing_trials(cfg, settings, step, 0, range(count, count + 1))
    return fit


def measure_config(
    cfg: Config, settings: LocalSettings, model: EncoderDecoder | None = None
) -> StepBytes:
    """Measure the units and heads of a config's model, for its own step.

    Args:
        cfg: The config.
        settings: Its ``model.local``.
        model: Its model, uncut, where the caller has it already.
    """
    shape, updates = step_shape(cfg), updates_per_module(cfg, settings)
    offloads = settings.offload is True  # of single modules it is not known which units are theirs

    def measure() -> StepBytes:
        with undrawn_weights():
            uncut = model or build_end_to_end(cfg)
        with explained_failure(shape):
            return measure_step(
                uncut,
                settings.heads,
                uncut.head_defaults(),
                shape,
                settings.recompute,
                updates,
                settings.context,
                offloads,
            )

    asked = settings.heads, settings.recompute, updates, settings.context, offloads
    return recalled(StepBytes, ('units', end_to_end_model(cfg), shape, *asked), measure)


def plan_fits(
    cfg: Config, step: StepBytes, num_modules: int, settings: LocalSettings, cap: int
) -> bool:
    """Whether a plan for ``num_modules`` is within ``cap`` bytes of tensors."""
    objective = objective_of(cfg, settings, cap)
    if settings.recompute == 'auto':
        if objective.plan_recompute(step, num_modules, cap) is not None:
            return True
        step = recomputing_as(step, 'cheap')
    boundaries = objective.plan(step, num_modules)
    return boundaries is not None and objective.peak(step, boundaries) <= cap


def confirmed(
    cfg: Config,
    settings: LocalSettings,
    num_modules: int,
    measured: StepBytes,
    cap: int,
    miss: float,
) -> tuple[bool, float]:
    """Whether a dry step of some plan for ``num_modules`` is within ``cap`` bytes of tensors.

    Args:
        cfg: As for :func:`fit_cap`.
        settings: As for :func:`fit_cap`.
        num_modules: K.
        measured: As for :func:`fit_cap`; predicted ones do.
        cap: Bytes.
        miss: As for :func:`recomputing_trials`.

    Returns:
        That, and the largest factor up to now by which a plan missed what it aimed for.
    """
    counts = range(num_modules, num_modules + 1)
    if settings.recompute == 'auto':
        trials = recomputing_trials(cfg, settings, measured, cap, counts, False, miss)
    else:
        trials = plain_trials(cfg, settings, measured, cap, counts)
    for fit in trials:
        miss = max(miss, fit.missed)
        if fit.step.peak.total <= cap:
            return True, miss
    return False, miss


def set_fit(cfg: Config, fit: Fit) -> Config:
    """Return a copy of ``cfg`` with what was found in place of the cap."""
    cfg = deepcopy(cfg)
    set_partition(cfg, boundaries=list(fit.boundaries))
    set_recompute(cfg, fit.recompute)
    if fit.global_groups is not None:
        set_global_recompute(cfg, fit.global_groups)
    cfg.model.local.pop('memory_margin', None)
    return cfg
