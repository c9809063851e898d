"""What every command does before a Runner exists: read, check and plan, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

from .checkpoints import check_checkpoint, find_resume_checkpoint
from .datasets import check_data
from .parallel import check_sync_batch_norm, choose_model_wrapper
from .partition import PARTITION_KEYS, build_end_to_end, resolve, set_partition
from .segmentors import trained_boundaries
from .weights import check_weights_fit, checkpoint_weights

TTA_MODES = ('ms', 'ms-flip')
"""Test-time augmentation: several scales, and each of them flipped as well."""


def read_config(path: str, cfg_options: Mapping[str, Any] | None = None) -> Config:
    """Read a config and merge options into it; a partition among them replaces the config's.

    Raises:
        ValueError: There is no such file, or it cannot be read as a config.
    """
    if not Path(path).is_file():
        raise ValueError(f'the config {path} does not exist')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        raise ValueError(f'the config {path} cannot be read: {error}') from error
    options = dict(cfg_options or {})
    keys = [key for key in PARTITION_KEYS if f'model.local.{key}' in options]
    if len(keys) == 1 and 'local' in cfg.model:
        set_partition(cfg, **{keys[0]: options[f'model.local.{keys[0]}']})
        if keys[0] == 'boundaries':
            boundaries = options.pop('model.local.boundaries')
            set_partition(cfg, boundaries=_as_list(boundaries))
    cfg.merge_from_dict(options)
    return cfg


def choose_work_dir(cfg: Config, work_dir: str | None) -> None:
    """Set ``cfg.work_dir``: what was asked for, what the config says, or one named after it."""
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(cfg.filename).stem)


def use_amp(cfg: Config) -> None:
    """Train with automatic mixed precision and dynamic loss scaling.

    Raises:
        ValueError: There is no accelerator, or the optimizer wrapper is not a plain one.
    """
    if (
        not torch.accelerator.is_available()
        if hasattr(torch, 'accelerator')
        else (not torch.cuda.is_available())
    ):
        raise ValueError('--amp needs an accelerator, and torch finds none on this machine')
    if cfg.optim_wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f'--amp replaces an OptimWrapper, but optim_wrapper.type is {cfg.optim_wrapper.type}'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def prepare_training(cfg: Config, resume: bool) -> Config:
    """Check all that a training run needs, and plan the partition.

    Args:
        cfg: With a ``work_dir``; not changed.
        resume: Go on from the last checkpoint in ``work_dir``.

    Returns:
        The config to give to a Runner.

    Raises:
        TypeError: A value in the config is of the wrong type.
        ValueError: Something is missing, broken or does not fit; the message says what.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    launcher = cfg.get('launcher', 'none')
    check_sync_batch_norm(cfg, launcher)
    cfg = resolve(cfg)
    choose_model_wrapper(cfg, launcher)
    if resume:
        cfg.load_from = find_resume_checkpoint(cfg.work_dir)
        cfg.resume = True
    elif any(Path(cfg.work_dir).glob('*.pth')):
        raise ValueError(
            f'{cfg.work_dir} already holds the checkpoints of a run: continue it with --resume, '
            'or name another directory with --work-dir'
        )
    if cfg.get('load_from'):
        check_checkpoint(cfg.load_from, for_resume=cfg.get('resume', False))
    check_data(cfg)
    return cfg


def prepare_testing(cfg: Config, checkpoint: str, tta: str | None = None) -> Config:
    """Check all that an evaluation needs; local heads and the partition play no part in it.

    Args:
        cfg: With a ``work_dir``; not changed.
        checkpoint: Of this model, trained in any partition or end to end.
        tta: One of :data:`TTA_MODES`, or None for a single scale.

    Returns:
        The config to give to a Runner. It has another file name, so that its dump does not
        replace that of the training run.

    Raises:
        TypeError: A value in the config is of the wrong type.
        ValueError: Something is missing, broken or does not fit; the message says what.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    name = f'test_{Path(cfg.filename or "config").stem}.py'
    cfg = Config(deepcopy(cfg.to_dict()), cfg_text=cfg.text or name, filename=name)
    missing = [key for key in ('dataloader', 'cfg', 'evaluator') if not cfg.get(f'test_{key}')]
    if missing:
        raise ValueError(f'the config has no {", ".join(f"test_{key}" for key in missing)}')
    weights = checkpoint_weights(check_checkpoint(checkpoint))
    if 'local' in cfg.model:
        # Only a method with context encoders predicts in the partition that it was trained in.
        has_context = any(weight.startswith('context.') for weight in weights)
        set_partition(cfg, boundaries=trained_boundaries(list(weights)) if has_context else [])
        cfg.model.local.warm_start = True
    check_weights_fit(build_end_to_end(cfg), weights, checkpoint)
    cfg.load_from, cfg.resume = checkpoint, False
    if tta is not None:
        use_tta(cfg, tta)
    cfg.pop('model_wrapper_cfg', None)
    choose_model_wrapper(cfg, cfg.get('launcher', 'none'))
    check_data(Config(dict(test_dataloader=cfg.test_dataloader)))
    return cfg


def use_tta(cfg: Config, mode: str) -> None:
    """Test on the views of the config's ``tta_pipeline``, merged by its ``tta_model``.

    Args:
        cfg: The config.
        mode: ``ms`` leaves the flipped views out.

    Raises:
        ValueError: The config has no such views.
    """
    missing = [key for key in ('tta_pipeline', 'tta_model') if not cfg.get(key)]
    if missing:
        raise ValueError(f'--tta needs {" and ".join(missing)}, which the config lacks')
    pipeline = deepcopy(cfg.tta_pipeline)
    views = [transform for transform in pipeline if transform.type == 'TestTimeAug']
    if len(views) != 1:
        raise ValueError(f'tta_pipeline must hold one TestTimeAug, got {len(views)}')
    if mode == 'ms':
        views[0].transforms = _without_flips(views[0].transforms)
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def _without_flips(transforms: list[list[Any]]) -> list[list[Any]]:
    kept = [
        [view for view in views if view['type'] != 'RandomFlip' or not view.get('prob')]
        for views in transforms
    ]
    return [views for views in kept if views]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
