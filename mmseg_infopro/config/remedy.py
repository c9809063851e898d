"""What would make a step fit that does not."""

from __future__ import annotations

from copy import deepcopy

from mmengine.config import Config

from .edit import set_crop, set_global_recompute
from .explain import FailedStepError
from .step import dry_config_step, training_crop

CROP_STEP = 32
NUM_CROPS = 4
"""Crops that are tried, each smaller than the last one."""


def what_would_fit(cfg: Config, cap: int) -> str:
    """Say what global passes must recompute, or what crop they need, to stay within a cap.

    Args:
        cfg: Whose global steps exceed the cap.
        cap: Bytes of tensors.
    """
    for word in ('cheap', 'units', 'module'):
        trial = deepcopy(cfg)
        set_global_recompute(trial, word)
        if dry_config_step(trial).peak.total <= cap:
            return f'a global step fits with local.schedule.recompute={word!r}'
    trial, (height, width) = deepcopy(cfg), training_crop(cfg)
    for _ in range(NUM_CROPS):
        step = dry_config_step(trial)
        if step.peak.total <= cap:
            return f'a global step fits with a crop of {height}x{width}'
        scale = (0.95 * cap / step.peak.total) ** 0.5
        height, width = (int(side * scale) // CROP_STEP * CROP_STEP for side in (height, width))
        if min(height, width) < CROP_STEP:
            break
        set_crop(trial, (height, width))
        try:
            dry_config_step(trial)
        except FailedStepError:
            break
    return 'no crop was found with which a global step fits'
