"""What training needs before a Runner exists: checked and planned, so that nothing is lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import init_default_scope

from ..config.build import build_model
from ..config.check_config import check_loaders, check_training_config
from ..config.edit import fill_scope
from ..config.own_hooks import use_own_hooks
from ..config.pretrained import ALLOW_FEW, rename_pretrained, without_pretrained
from ..config.resolve import resolve
from ..config.same_method import check_same_method
from ..datasets import check_data, check_first_samples, check_labels
from ..local.names import check_same_partition, own_boundaries, trained_boundaries
from ..measure.undrawn import undrawn_weights
from ..parallel import (
    check_pipeline_config,
    check_sync_batch_norm,
    choose_model_wrapper,
    continues_training,
    load_same_samples,
    on_all_processes,
    on_main_process,
)
from .checkpoints import check_checkpoint, loadable
from .resume_point import find_resume_checkpoint, regular_checkpoints
from .taken import matching, say_taken
from .weights import DUMPED, check_context, check_weights_fit, checkpoint_weights


def prepare_training(cfg: Config, resume: bool) -> Config:
    """Check all that a training run needs, and plan the partition.

    Of several processes the main one plans for all, and all raise what one of them raises.

    Args:
        cfg: With a ``work_dir``; not changed.
        resume: Go on from the last checkpoint in ``work_dir``.

    Returns:
        The config to give to a Runner.

    Raises:
        TypeError: A value in the config is of the wrong type.
        ValueError: Something is missing, broken or does not fit; the message says what.
    """
    cfg = deepcopy(cfg)
    fill_scope(cfg)
    init_default_scope(cfg.default_scope)
    on_all_processes(lambda: check_pipeline_config(cfg))
    checkpoint = on_all_processes(lambda: check_start(cfg, resume))
    cfg = on_main_process(lambda: resolve(cfg))
    on_all_processes(lambda: check_pipeline_config(cfg))
    load_same_samples(cfg)
    choose_model_wrapper(cfg, cfg.get('launcher', 'none'))
    use_own_hooks(cfg)
    if checkpoint is not None:
        on_all_processes(lambda: check_weights(cfg, checkpoint))
    return cfg


def check_start(cfg: Config, resume: bool) -> dict[str, Any] | None:
    """Check all that is checked within moments, before anything is planned.

    Args:
        cfg: Gets the checkpoint to resume from.
        resume: As for :func:`prepare_training`.

    Returns:
        The checkpoint that training starts from, if it does.

    Raises:
        ValueError: Something is missing or broken.
    """
    check_training_config(cfg)
    check_sync_batch_norm(cfg, cfg.get('launcher', 'none'))
    checkpoint = None
    if cfg.get('resume') and not resume and not cfg.get('load_from') and not _has_run(cfg):
        print_log(f'resume=True: {cfg.work_dir} holds no checkpoint yet, so the run starts anew')
        cfg.resume = False
    if resume or (cfg.get('resume') and not cfg.get('load_from')):
        cfg.load_from, checkpoint = find_resume_checkpoint(cfg)
        cfg.resume = True
    elif not cfg.get('resume') and not continues_training():  # what is there is the job's own
        check_unused(cfg)
    if cfg.get('load_from'):
        if checkpoint is None:
            checkpoint = check_checkpoint(cfg.load_from, for_resume=cfg.get('resume', False))
        _note_finished(cfg, checkpoint)
        if not cfg.get('resume'):
            cfg.load_from = loadable(cfg.load_from)
    rename_pretrained(cfg.model, loadable)
    check_data(cfg, ('train', 'val'))
    check_labels(cfg)
    check_first_samples(cfg, ('train', 'val'))
    check_loaders(cfg, ('train', 'val'))
    return checkpoint


def _has_run(cfg: Config) -> bool:
    """Whether a work dir holds checkpoints of whatever kind."""
    return any(Path(cfg.work_dir).glob('*.pth'))


def check_unused(cfg: Config) -> None:
    """Check that a new run does not mix its checkpoints with those of another one.

    Raises:
        ValueError: The work directory holds some.
    """
    remedy = 'name another directory with --work-dir'
    if regular_checkpoints(cfg):
        raise ValueError(
            f'{cfg.work_dir} already holds the checkpoints of a run: continue it with --resume, or '
            f'{remedy}'
        )
    others = sorted(path.name for path in Path(cfg.work_dir).glob('*.pth'))
    if others:
        raise ValueError(
            f'{cfg.work_dir} already holds {", ".join(others[:5])}, which is no checkpoint to '
            f'--resume from: {remedy}'
        )


def check_weights(cfg: Config, checkpoint: Mapping[str, Any]) -> None:
    """Check that a checkpoint's weights are those of the config's model.

    A resume needs all of them, of the same method; a start says how many it takes, and needs half
    of the model's.

    Raises:
        ValueError: They are others, or of another partition or method.
    """
    weights = checkpoint_weights(checkpoint)
    with undrawn_weights():
        model = build_model(without_pretrained(cfg.model))
    check_partition(cfg, model, weights)
    if cfg.get('resume'):
        check_same_method(cfg.model.get('local'), checkpoint)
        check_weights_fit(model, weights, cfg.load_from)
    else:
        taken = matching(model.state_dict(), weights)
        say_taken(taken, cfg.load_from, cfg.get(ALLOW_FEW, False))


def check_partition(cfg: Config, model: Any, weights: Mapping[str, Any]) -> None:
    """Check that weights to start from are of the config's partition, or that it may differ.

    Raises:
        ValueError: They are of another one, or of other contexts.
    """
    local = cfg.model.get('local')
    if local is None or local.get('warm_start'):
        return
    anew = 'set model.local.warm_start=True to start with fresh contexts or none'
    check_context(cfg.model, weights, str(cfg.load_from), f'{DUMPED}, or {anew}')
    check_same_partition(
        trained_boundaries(list(weights)),
        own_boundaries(model),
        f'the checkpoint {cfg.load_from}',
        'to start from its weights, name a new --work-dir and set load_from and '
        'model.local.warm_start=True',
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
