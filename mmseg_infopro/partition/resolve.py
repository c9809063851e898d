"""Planning before the Runner: from a config with a wish to a config with boundaries."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS, OPTIMIZERS
from torch import nn

from ..memory import PeakBytes, dry_step_peak, format_bytes, parse_bytes
from .choosing import choose_boundaries
from .measuring import StepShape, measure_step, training_batch
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


def build_end_to_end(cfg: Config) -> EncoderDecoder:
    """Build the config's model uncut, K=1, without pretrained weights."""
    model_cfg = deepcopy(cfg.model)
    model_cfg.pop('pretrained', None)
    if 'local' in model_cfg:
        model_cfg.local = ConfigDict(num_modules=1)
    return build_model(model_cfg)


def build_model(model_cfg: ConfigDict) -> EncoderDecoder:
    """Build a model in mmseg's scope.

    Raises:
        ValueError: It cannot be built.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        try:
            return MODELS.build(model_cfg)
        except (AssertionError, AttributeError, KeyError) as error:
            raise ValueError(f'the model cannot be built from the config: {error}') from error


def config_peak(cfg: Config) -> PeakBytes:
    """Take a dry step of a config with its own batch size, crop, optimizer and precision."""
    model_cfg = deepcopy(cfg.model)
    model_cfg.pop('pretrained', None)
    model_cfg.get('local', {}).pop('compile', None)  # a dry step runs eagerly
    model, shape = build_model(model_cfg), step_shape(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return dry_step_peak(model, cfg.optim_wrapper, lambda: training_batch(shape))


def step_shape(cfg: Config) -> StepShape:
    """Read batch size, crop and precision of the training step off a config.

    Raises:
        ValueError: The config does not say them.
    """
    batch_size = cfg.get('train_dataloader', {}).get('batch_size')
    if batch_size is None:
        raise ValueError('planning needs train_dataloader.batch_size, which the config lacks')
    wrapper = cfg.get('optim_wrapper', {})
    autocast = None
    if wrapper.get('type') == 'AmpOptimWrapper':
        autocast = getattr(torch, wrapper.get('dtype') or 'float16', None)
        if autocast not in (torch.float16, torch.bfloat16, torch.float32):
            raise ValueError(
                f'optim_wrapper.dtype must be float16 or bfloat16, got {wrapper.dtype!r}'
            )
    mean = (cfg.model.get('data_preprocessor') or {}).get('mean') or [0] * 3
    return StepShape(batch_size, training_crop(cfg), len(mean), autocast, optimizer_copies(wrapper))


def optimizer_copies(wrapper: Mapping[str, Any]) -> int:
    """Return how many times a parameter's bytes stay in memory: itself and the optimizer's."""
    if 'optimizer' not in wrapper:
        return 2
    parameter = nn.Parameter(torch.zeros(2, 3))
    optimizer = OPTIMIZERS.build({**wrapper['optimizer'], 'params': [parameter]})
    parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    kept = optimizer.state[parameter].values()
    return 1 + sum(torch.is_tensor(v) and v.shape == parameter.shape for v in kept)


def training_crop(cfg: Config) -> tuple[int, int]:
    """Return (height, width) of what the network sees in training.

    Raises:
        ValueError: Neither the data preprocessor nor the training pipeline has a fixed size.
    """
    size = (cfg.model.get('data_preprocessor') or {}).get('size')
    if size is None:
        dataset = cfg.get('train_dataloader', {}).get('dataset', {})
        while 'dataset' in dataset:
            dataset = dataset['dataset']
        for transform in dataset.get('pipeline', []):
            size = transform.get('crop_size', size)
    if size is None:
        raise ValueError(
            'planning needs the training crop: set model.data_preprocessor.size=(height, width)'
        )
    return tuple(size) if not isinstance(size, int) else (size, size)


def _fit_cap(cfg: Config, settings: LocalSettings, cap: int) -> tuple[str, ...]:
    """Try K=1, 2, ...: what the plan says is far above the cap is not worth a dry step."""
    model = build_end_to_end(cfg)
    logger = MMLogger.get_current_instance()
    step = measure_step(model, settings.heads, model.head_defaults(), step_shape(cfg))
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
