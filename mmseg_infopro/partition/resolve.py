"""Planning before the Runner: from a config with a wish to a config with boundaries."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from ..memory import format_bytes, parse_bytes
from .choosing import choose_boundaries
from .config_step import build_end_to_end, config_peak, step_shape
from .measuring import measure_step
from .planning import module_peaks, plan_boundaries
from .settings import PARTITION_KEYS, LocalSettings, read_local_settings

PLANNING_ERROR = 1.1
"""A plan's peak is taken to be at most this factor above that of the dry step."""


def resolve(cfg: Config) -> Config:
    """Return a copy of ``cfg`` whose ``model.local`` holds explicit boundaries.

    It also holds the data-parallel wrapper of local modules, unless the config names one, and
    mmengine's ``compile`` setting as ``model.local.compile``.

    ``num_modules`` becomes the boundaries with the smallest largest module peak for the config's
    crop, batch size, optimizer and precision; ``memory_cap`` the fewest modules whose dry step
    stays within it. A config without ``model.local`` comes back as it is.

    Raises:
        TypeError: The backbone cannot be cut, or a value is of the wrong type.
        ValueError: ``model.local`` does not fit the model, or nothing fits the cap.
    """
    cfg = deepcopy(cfg)
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError('the config has no model')
    if 'local' not in cfg.model:
        return cfg
    if 'InfoPro' not in str(cfg.model.get('type')):
        raise ValueError(
            f'model.local needs a segmentor that trains in local modules, got model.type='
            f'{cfg.model.get("type")!r}; valid: InfoProEncoderDecoder, InfoProCascadeEncoderDecoder'
        )
    settings = read_local_settings(cfg.model.local)
    if settings.memory_cap is not None:
        boundaries = _fit_cap(cfg, settings, parse_bytes(settings.memory_cap))
    else:
        shape = None if settings.boundaries is not None else step_shape(cfg)
        model = build_end_to_end(cfg)
        boundaries = choose_boundaries(model, settings, model.head_defaults(), shape)
    set_partition(cfg, boundaries=list(boundaries))
    cfg.setdefault('model_wrapper_cfg', dict(type='LocalDataParallel'))
    if cfg.get('compile') and boundaries:
        # mmengine's setting compiles forward(), which a local step does not go through.
        cfg.model.local.setdefault('compile', cfg.pop('compile'))
    return cfg


def set_partition(cfg: Config, **partition: Any) -> None:
    """Put one of ``num_modules``, ``boundaries`` and ``memory_cap`` in place of what is there."""
    local = {key: cfg.model.local[key] for key in cfg.model.local if key not in PARTITION_KEYS}
    cfg.model.local = ConfigDict(**partition, **local)


def _fit_cap(cfg: Config, settings: LocalSettings, cap: int) -> tuple[str, ...]:
    """Try K=1, 2, ...: what the plan says is far above the cap is not worth a dry step."""
    model = build_end_to_end(cfg)
    logger = MMLogger.get_current_instance()
    step = measure_step(
        model, settings.heads, model.head_defaults(), step_shape(cfg), settings.recompute
    )
    smallest, smallest_modules = sys.maxsize, 0
    for num_modules in range(1, len(step.units) + 1):
        boundaries = plan_boundaries(step, num_modules)
        planned = max(module_peaks(step, boundaries))
        if planned > PLANNING_ERROR * min(cap, smallest) and smallest_modules:
            continue
        trial = deepcopy(cfg)
        set_partition(trial, boundaries=boundaries)
        peak = config_peak(trial).total
        logger.info(f'{num_modules} local modules: predicted peak {format_bytes(peak)}')
        if peak <= cap:
            return tuple(boundaries)
        if peak < smallest:
            smallest, smallest_modules = peak, num_modules
    raise ValueError(
        f'local.memory_cap={settings.memory_cap} fits no partition: the smallest peak found is '
        f'{format_bytes(smallest)} with num_modules={smallest_modules}; use a smaller batch or crop'
    )
