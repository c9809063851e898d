"""A training loop of your own: torch's loader and optimizer, and the model's local step.

What a step frees, and when, is the same as under mmengine's Runner: ``model.train_step`` runs
module by module. What the Runner would add (checkpoints, exact resume, checks) is yours to add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

import mmseg_infopro


def build_model(cfg: Config) -> Any:
    """Return the model of a config that names its local modules, ready to train.

    Args:
        cfg: As of ``mmseg_infopro.localize(cfg, num_modules=4)``.
    """
    model = MODELS.build(mmseg_infopro.resolve(cfg).model)
    model.init_weights()
    return model.train()


def collate(pairs: Sequence[tuple[Tensor, Tensor]]) -> dict[str, list[Any]]:
    """Make the batch that a model takes.

    Args:
        pairs: Images, uint8 (3, H, W) in the channel order of the files as OpenCV reads them (BGR),
            and labels, int64 (H, W), of one size.
    """
    samples = []
    for _, label in pairs:
        sample = SegDataSample(metainfo=dict(img_shape=label.shape, ori_shape=label.shape))
        sample.gt_sem_seg = PixelData(data=label[None])
        samples.append(sample)
    return dict(inputs=[image for image, _ in pairs], data_samples=samples)


def train(
    model: Any,
    batches: Iterable[dict[str, list[Any]]],
    optimizer: torch.optim.Optimizer,
    log: Callable[[int, dict[str, Tensor]], None] = lambda iteration, losses: None,
) -> None:
    """Train on every batch once; ``log`` gets each iteration's losses by name.

    For float16 take a ``LocalAmpOptimWrapper``, for accumulation ``accumulative_counts=4``.
    """
    wrapper = OptimWrapper(optimizer)
    for iteration, data in enumerate(batches):
        # Schedules with several kinds of step, as periodic global ones, go by it.
        MessageHub.get_current_instance().update_info('iter', iteration)
        log(iteration, model.train_step(data, wrapper))
