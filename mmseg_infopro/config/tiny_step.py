"""A forward pass on tiny images: whether the parts of a model that nothing was planned for fit."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from ..measure.undrawn import kept_generators
from ..planning.batch import StepShape, training_batch
from .step import dry_config_steps, image_channels

CROP = (64, 64)


def try_model(cfg: Config, model: Any) -> None:
    """Run a model that is thrown away; what fails on tiny images is tried on a dry step.

    Args:
        cfg: Whose model is not planned, since its boundaries are named.
        model: Of it, uncut.

    Raises:
        FailedStepError: The model cannot take the config's own training step.
    """
    if not cfg.get('train_dataloader') or 'optim_wrapper' not in cfg:
        return
    shape = StepShape(2, CROP, image_channels(cfg.model), has_edges=True)
    samples = training_batch(shape)['data_samples']
    image = torch.zeros(2, shape.in_channels, *CROP)
    try:
        with torch.no_grad(), kept_generators(), DefaultScope.overwrite_default_scope('mmseg'):
            model.train().loss(image, samples)
    except Exception:  # of this size alone, perhaps
        uncut = deepcopy(cfg)
        uncut.model.local = ConfigDict(num_modules=1)
        dry_config_steps(uncut)
