"""A forward pass on tiny images: whether the parts of a model that nothing was planned for fit."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..measure.undrawn import kept_generators, undrawn_weights
from ..planning.batch import StepShape, training_batch
from .build import build_model
from .pretrained import without_pretrained
from .step import dry_config_steps, image_channels
from .trial import silent_logger

CROP = (64, 64)


def try_model(cfg: Config) -> None:
    """Run a model that is thrown away; what fails on tiny images is tried on a dry step.

    Args:
        cfg: Whose model is not planned, since its boundaries are named; its local heads are known.

    Raises:
        FailedStepError: The model cannot take the config's own training step.
        ValueError: The model cannot be built.
    """
    if not cfg.get('train_dataloader') or 'optim_wrapper' not in cfg:
        return
    with undrawn_weights(), silent_logger():
        model: Any = build_model(without_pretrained(cfg.model))
    shape = StepShape(2, CROP, image_channels(cfg.model), has_edges=True)
    samples = training_batch(shape)['data_samples']
    try:
        with torch.no_grad(), kept_generators(), silent_logger():
            image = torch.randn(2, shape.in_channels, *CROP)
            with DefaultScope.overwrite_default_scope('mmseg'):
                model.train().loss(image, samples)
    except Exception:  # of this size alone, perhaps
        dry_config_steps(cfg)
