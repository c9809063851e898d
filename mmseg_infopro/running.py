"""What every command does before a Runner exists: read, check and plan, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from .checkpoints import check_checkpoint, find_resume_checkpoint
from .datasets import check_data
from .partition import PARTITION_KEYS, resolve, set_partition


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
    cfg = resolve(cfg)
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


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
