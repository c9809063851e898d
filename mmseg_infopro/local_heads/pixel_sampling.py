"""Class-balanced samples of a batch's pixels, of fixed shape."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.utils import SampleList
from torch import Tensor


def labels_at(size: torch.Size | tuple[int, ...], data_samples: SampleList) -> Tensor:
    """Return the label maps of a batch, ``(B, H, W)``, subsampled to a feature's size."""
    labels = torch.stack([sample.gt_sem_seg.data for sample in data_samples])
    return F.interpolate(labels.float(), size, mode='nearest').long().squeeze(1)


def sample_pixels(labels: Tensor, num_samples: int, num_classes: int, ignore_index: int) -> Tensor:
    """Draw the indices of at most ``num_samples`` of ``labels`` ``(N,)``, classes balanced.

    Each class is equally likely per draw as long as it has pixels left. Weighted sampling without
    replacement by the Gumbel top-k trick, of fixed shape: where too few pixels are valid, ignored
    ones fill up the end.
    """
    valid = labels != ignore_index
    classes = torch.where(valid, labels, 0)
    counts = torch.zeros(num_classes, device=labels.device)
    counts = counts.scatter_add(0, classes, valid.float())
    uniform = torch.rand(labels.shape, device=labels.device)
    keys = -torch.log(-torch.log(uniform)) - torch.log(counts.clamp(min=1))[classes]
    keys = keys.masked_fill(~valid, -torch.inf)
    return keys.topk(min(num_samples, labels.numel())).indices
