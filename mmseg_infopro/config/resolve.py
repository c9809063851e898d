"""Planning before the Runner: from a config with a wish to a config with boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import partial

from mmengine.config import Config

from ..local.settings import read_local_settings
from ..measure.sizes import parse_share
from ..measure.undrawn import undrawn_weights
from ..planning.choosing import choose_boundaries
from .build import SEGMENTORS, build_end_to_end, is_local
from .caps import card_bytes
from .edit import enforce_cap, fill_image_range, fill_scope, set_partition
from .fit_cap import fit_cap, measure_config, set_fit, smallest_fit
from .fitted import write_fitted
from .objective import objective_of
from .phases import fill_max_iters, fit_run_to_schedule
from .step import own_wrapper, step_shape
from .tiny_step import try_model
from .writing import warn_of_another_step


def resolve(cfg: Config) -> Config:
    """Return a copy of ``cfg`` whose ``model.local`` holds explicit boundaries.

    It also holds the widths and strides of fitted local heads, the data-parallel wrapper of local
    modules, unless the config names one, the optimizer wrapper with a loss scale for each module
    where they are updated one by one, mmengine's ``compile`` setting as ``model.local.compile``,
    and what of the run depends on the schedule, see :func:`fit_run_to_schedule`.

    ``num_modules`` becomes the boundaries with the smallest largest module peak for the config's
    crop, batch size, optimizer and precision; ``memory_cap`` the fewest modules whose dry step
    stays within it, less ``memory_margin``, and for ``recompute='auto'`` what they recompute; a
    MemoryHook then holds a run to the cap. With ``placement='pipeline'`` they are those whose
    slowest process is fastest, the cap is that of each process, and each recomputes for its own.
    A config without
    ``model.local`` comes back as it is.

    Raises:
        TypeError: The backbone cannot be cut, or a value is of the wrong type.
        ValueError: ``model.local`` does not fit the model, or nothing fits the cap.
    """
    cfg = deepcopy(cfg)
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError('the config has no model')
    if 'local' not in cfg.model:
        return cfg
    if not is_local(cfg.model):
        raise ValueError(
            f'model.local needs a segmentor that trains in local modules, got model.type='
            f'{cfg.model.get("type")!r}; valid: {", ".join(SEGMENTORS.values())}, or a registered '
            'class derived from one'
        )
    read_local_settings(cfg.model.local)  # raises if it cannot be read
    fill_scope(cfg)
    fill_image_range(cfg)
    fill_max_iters(cfg)
    warn_of_another_step(cfg)
    settings = read_local_settings(cfg.model.local)
    model = None
    if settings.memory_cap is not None:
        if parse_share(settings.memory_cap) is not None:
            cap = card_bytes(cfg, settings.memory_cap, settings.margin_bytes)
            settings = replace(settings, memory_cap=cap)
        fit = fit_cap(cfg, settings)
        cfg = set_fit(cfg, fit)
        enforce_cap(cfg, settings, fit.step.peak.total)
    elif settings.recompute == 'auto' and not settings.boundaries:
        cfg = set_fit(cfg, smallest_fit(cfg, settings))
    else:
        shape = None if settings.boundaries is not None else step_shape(cfg)
        with undrawn_weights():
            model = build_end_to_end(cfg)
        measure = partial(measure_config, cfg, settings, model)
        judge = partial(objective_of, cfg, settings)
        defaults = model.head_defaults()
        boundaries = choose_boundaries(model, settings, defaults, shape, measure, judge)
        if settings.boundaries is None:
            set_partition(cfg, boundaries=list(boundaries))
    write_fitted(cfg, model)
    if settings.boundaries is not None:
        try_model(cfg)
    fit_run_to_schedule(cfg)
    if cfg.model.local.boundaries and 'optim_wrapper' in cfg:
        cfg.optim_wrapper = own_wrapper(cfg)
    cfg.setdefault('model_wrapper_cfg', dict(type='LocalDataParallel'))
    if cfg.get('compile') and cfg.model.local.boundaries:
        # mmengine's setting compiles forward(), which a local step does not go through.
        cfg.model.local.setdefault('compile', cfg.pop('compile'))
    return cfg
