"""A method in one file: a local head that finds edges, which runs every second iteration only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_infopro.local.schedule import SCHEDULES, Pass, Schedule


@MODELS.register_module()
class EdgeHead(nn.Module):
    """Says by a 1x1 convolution where the label changes to the right or below."""

    def __init__(
        self, in_channels: int, in_index: int, ignore_index: int, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.in_index, self.ignore_index, self.loss_weight = in_index, ignore_index, loss_weight
        self.conv = nn.Conv2d(in_channels, 1, 1)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: Any, train_cfg: Any
    ) -> dict[str, Tensor]:
        """Return the mean binary cross entropy over the pixels that are not ignored."""
        labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        valid = labels != self.ignore_index
        edges = torch.zeros_like(valid)
        right = (labels[..., :-1] != labels[..., 1:]) & valid[..., :-1] & valid[..., 1:]
        below = (labels[:, :-1] != labels[:, 1:]) & valid[:, :-1] & valid[:, 1:]
        edges[..., :-1] |= right
        edges[:, :-1] |= below
        logits = F.interpolate(self.conv(inputs[self.in_index]), labels.shape[1:], mode='bilinear')
        loss = F.binary_cross_entropy_with_logits(logits[:, 0], edges.float(), reduction='none')
        return {'loss_edge': self.loss_weight * (loss * valid).sum() / valid.sum().clamp(min=1)}


@SCHEDULES.register_module()
class EverySecond(Schedule):
    """Local passes, in which one head of module 0, called ``head``, counts on odd iterations."""

    def __init__(self, head: str = 'edge') -> None:
        self.head = head

    def __call__(self, iteration: int, num_modules: int) -> list[Pass]:
        """Return one pass for each module."""
        first = Pass(0, 0, {0: 1.0, (0, self.head): float(iteration % 2)})
        return [first, *(Pass(k, k, {k: 1.0}) for k in range(1, num_modules))]

    def phases(self, num_modules: int) -> dict[str, int]:
        """Return the two kinds of step."""
        return {'without edges': 0, 'with edges': 1}
