"""Planning before the Runner: from a config with a wish to a config with boundaries."""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from ..memory import PeakBytes, dry_step_peak, parse_bytes
from .choosing import choose_boundaries
from .measuring import StepShape, training_batch
from .settings import PARTITION_KEYS, LocalSettings, read_local_settings


def resolve(cfg: Config) -> Config:
    """Return a copy of ``cfg`` whose ``model.local`` holds explicit boundaries.

    ``num_modules`` becomes the boundaries with the smallest largest module peak for the config's
    crop, batch size, optimizer and precision; ``memory_cap`` the fewest modules whose dry step
    stays within it. A config without ``model.local`` comes back as it is.

    Raises:
        TypeError: The backbone cannot be cut, or a value is of the wrong type.
        ValueError: ``model.local`` does not fit the model, or nothing fits the cap.
    """
    cfg = deepcopy(cfg)
    if 'local' not in cfg.model:
        return cfg
    settings = read_local_settings(cfg.model.local)
    if settings.memory_cap is not None:
        boundaries = _fit_cap(cfg, settings, parse_bytes(settings.memory_cap))
    else:
        shape = None if settings.boundaries is not None else step_shape(cfg)
        model = build_end_to_end(cfg)
        boundaries = choose_boundaries(model, settings, model.head_defaults(), shape)
    set_partition(cfg, boundaries=list(boundaries))
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
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(model_cfg)


def config_peak(cfg: Config) -> PeakBytes:
    """Take a dry step of a config with its own batch size, crop, optimizer and precision."""
    model_cfg = deepcopy(cfg.model)
    model_cfg.pop('pretrained', None)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(model_cfg)
        shape = step_shape(cfg)
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
        autocast = getattr(torch, wrapper.get('dtype') or 'float16')
    mean = cfg.model.get('data_preprocessor', {}).get('mean') or [0] * 3
    return StepShape(batch_size, training_crop(cfg), len(mean), autocast)


def training_crop(cfg: Config) -> tuple[int, int]:
    """Return (height, width) of what the network sees in training.

    Raises:
        ValueError: Neither the data preprocessor nor the training pipeline has a fixed size.
    """
    size = cfg.model.get('data_preprocessor', {}).get('size')
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
    model = build_end_to_end(cfg)
    num_units = len(model.backbone.units())
    smallest, smallest_modules = sys.maxsize, 0
    for num_modules in range(1, num_units + 1):
        wish = LocalSettings(num_modules=num_modules, heads=settings.heads)
        boundaries = choose_boundaries(model, wish, model.head_defaults(), step_shape(cfg))
        trial = deepcopy(cfg)
        set_partition(trial, boundaries=list(boundaries))
        peak = config_peak(trial).total
        if peak <= cap:
            return boundaries
        if peak >= smallest:
            break
        smallest, smallest_modules = peak, num_modules
    raise ValueError(
        f'local.memory_cap of {cap / 2**30:.2f} GiB fits no partition: the smallest peak found is '
        f'{smallest / 2**30:.2f} GiB with num_modules={smallest_modules}; '
        'use a smaller batch or crop'
    )
