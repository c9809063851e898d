"""What every command does before a Runner exists: read, check and plan, so that nothing is lost."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from .checkpoints import check_checkpoint, find_resume_checkpoint
from .datasets import check_data
from .parallel import check_sync_batch_norm, choose_model_wrapper
from .partition import PARTITION_KEYS, build_end_to_end, resolve, set_partition
from .segmentors import describe_partition, trained_boundaries
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
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(f'the config {path} has no model')
    options = dict(cfg_options or {})
    _refuse_variables(cfg, options)
    keys = [key for key in PARTITION_KEYS if f'model.local.{key}' in options]
    if len(keys) == 1 and 'local' in cfg.model:
        value = options.pop(f'model.local.{keys[0]}')
        set_partition(cfg, **{keys[0]: _as_list(value) if keys[0] == 'boundaries' else value})
    try:
        cfg.merge_from_dict(options)
    except (AssertionError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f'--cfg-options do not fit the config {path}: {error}') from error
    return cfg


def _refuse_variables(cfg: Config, options: Mapping[str, Any]) -> None:
    """A value that a config file used while it was read has no effect any more."""
    read = {*inspect.signature(Runner).parameters, 'tta_model', 'tta_pipeline', 'auto_scale_lr'}
    variables = [key for key in options if '.' not in key and key in cfg and key not in read]
    used = [key for key in variables if key not in ('find_unused_parameters', 'sync_bn')]
    if used:
        raise ValueError(
            f'--cfg-options {used[0]}={options[used[0]]} would change nothing: {used[0]} is a '
            'variable of the config file; set the keys that it went into, as '
            'train_dataloader.dataset.dataset.data_root or train_cfg.max_iters'
        )


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
    elif cfg.get('resume') and not cfg.get('load_from'):
        cfg.load_from = find_resume_checkpoint(cfg.work_dir)
    if cfg.get('load_from'):
        checkpoint = check_checkpoint(cfg.load_from, for_resume=cfg.get('resume', False))
        check_partition(cfg, checkpoint_weights(checkpoint))
        _note_finished(cfg, checkpoint)
    for path in pretrained_files(cfg.model):
        check_checkpoint(path)
    check_data(cfg)
    return cfg


def check_partition(cfg: Config, weights: Mapping[str, Any]) -> None:
    """Check that weights to start from are of the config's partition, or that it may differ.

    Raises:
        ValueError: They are of another one.
    """
    local = cfg.model.get('local')
    if local is None or local.get('warm_start'):
        return
    trained = trained_boundaries(list(weights))
    if set(trained) != set(local.boundaries):
        raise ValueError(
            f'the checkpoint {cfg.load_from} is of the partition {describe_partition(trained)}, '
            f'the model of {describe_partition(local.boundaries)}; to start from its weights, '
            'name a new --work-dir and set load_from and model.local.warm_start=True'
        )


def _note_finished(cfg: Config, checkpoint: Mapping[str, Any]) -> None:
    iteration, max_iters = checkpoint.get('meta', {}).get('iter'), cfg.train_cfg.get('max_iters')
    if cfg.get('resume') and iteration and max_iters and iteration >= max_iters:
        print_log(
            f'{cfg.load_from} is at iteration {iteration} of {max_iters}: there is nothing to '
            'train, unless train_cfg.max_iters is raised',
            logger='current',
            level=logging.WARNING,
        )


def pretrained_files(value: Any) -> Iterator[str]:
    """Yield the files and URLs that a model config loads pretrained weights from.

    Names of a model zoo, as ``open-mmlab://resnet50_v1c``, are left to mmengine, which knows where
    they lead.
    """
    if isinstance(value, Mapping):
        named = [value.get('pretrained')]
        if value.get('type') == 'Pretrained':
            named.append(value.get('checkpoint'))
        for name in named:
            if isinstance(name, str) and ('://' not in name or name.startswith('http')):
                yield name
    if isinstance(value, (list, tuple, Mapping)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from pretrained_files(item)


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
