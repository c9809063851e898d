"""Parts that are built for a trial: their constructors say best what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmseg.evaluation import IoUMetric
from mmseg.registry import (
    HOOKS,
    LOG_PROCESSORS,
    METRICS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)
from torch import nn

from ..measure.dry_step import without_accelerator
from .parts import Part
from .places import named

OURS = ('mmengine', 'mmcv', 'mmseg', 'mmseg_infopro', 'torch', 'bitsandbytes')
"""Packages whose constructors are known to have no other effect."""
NEEDS_A_RUN = ('VisualizationHook', 'PicturesHook')
EPOCH_LENGTH = 1000


def try_part(part: Part, kind: type, place: str) -> None:
    """Build a part, if that touches nothing else, and drop it.

    Raises:
        ValueError: It cannot be built; the message names the place.
    """
    build = BUILDERS.get(part.registry)
    if (
        build is None
        or kind.__name__.endswith(NEEDS_A_RUN)
        or kind.__module__.partition('.')[0] not in OURS
    ):
        return
    with named(place), silent_logger():
        cfg = {key: value for key, value in part.cfg.items() if key not in part.extra}
        build({'type': part.default, **cfg} if 'type' not in cfg else cfg)


def try_constructor(wrapper: Any) -> None:
    """Build what gives an optimizer its parameters, by an ``optim_wrapper``, and drop it.

    Raises:
        ValueError: It cannot be built; the message names the place.
    """
    if not isinstance(wrapper, Mapping) or not isinstance(wrapper.get('optimizer'), Mapping):
        return
    kind = wrapper.get('constructor', 'DefaultOptimWrapperConstructor')
    found = OPTIM_WRAPPER_CONSTRUCTORS.get(kind) if isinstance(kind, str) else kind
    if getattr(found, '__module__', '').partition('.')[0] not in OURS:
        return
    own = {k: v for k, v in wrapper.items() if k not in ('constructor', 'paramwise_cfg')}
    with named('optim_wrapper.paramwise_cfg'):
        found(own, wrapper.get('paramwise_cfg'))


def _optimizer(cfg: Mapping[str, Any] | None = None) -> Any:
    parameter = nn.Parameter(torch.zeros(2, 3))
    return OPTIMIZERS.build({**(cfg or dict(type='SGD', lr=0.1)), 'params': [parameter]})


def _wrapper(cfg: Mapping[str, Any]) -> Any:
    rest = {key: value for key, value in cfg.items() if key != 'optimizer'}
    return OPTIM_WRAPPERS.build({**without_accelerator(rest), 'optimizer': _optimizer()})


def _scheduler(cfg: Mapping[str, Any]) -> Any:
    wrapper = OptimWrapper(_optimizer(dict(type='SGD', lr=0.1, momentum=0.9)))
    return PARAM_SCHEDULERS.build(
        dict(cfg), default_args=dict(optimizer=wrapper, epoch_length=EPOCH_LENGTH)
    )


def _metric(cfg: Mapping[str, Any]) -> Any:
    metric = METRICS.build(dict(cfg))
    if type(metric).compute_metrics is IoUMetric.compute_metrics:
        metric_names(metric)
    return metric


def metric_names(metric: IoUMetric) -> list[str]:
    """Return the names of what a metric computes, from two pixels."""
    metric.dataset_meta = dict(classes=('a', 'b'))
    metric.format_only = False
    pixels = torch.ones(2)
    with silent_logger():
        return list(metric.compute_metrics([(pixels, pixels, pixels, pixels)]))


@contextmanager
def silent_logger() -> Iterator[None]:
    """Run a block without log: what is tried is no news."""
    logger = MMLogger.get_current_instance()
    was_disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was_disabled


def _from(registry: Any) -> Callable[[Mapping[str, Any]], Any]:
    return lambda cfg: registry.build(dict(cfg))


BUILDERS: dict[Any, Callable[[Mapping[str, Any]], Any]] = {
    HOOKS: _from(HOOKS),
    LOG_PROCESSORS: _from(LOG_PROCESSORS),
    TRANSFORMS: _from(TRANSFORMS),
    OPTIMIZERS: _optimizer,
    OPTIM_WRAPPERS: _wrapper,
    PARAM_SCHEDULERS: _scheduler,
    METRICS: _metric,
}
