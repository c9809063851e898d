"""Labels and losses of local heads, for plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor


def samples(
    size: Sequence[int], num_classes: int = 5, batch_size: int = 2, ignored: int = 4
) -> list[SegDataSample]:
    """Return samples with random labels, of which the upper rows are ignored."""
    labels = torch.randint(0, num_classes, (batch_size, 1, *size))
    labels[:, :, :ignored] = 255
    return [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]


def cross_entropy(logits: Tensor, data_samples: list[SegDataSample]) -> Tensor:
    """Return mmseg's: upsampled, ignored pixels count in the mean, as zeros."""
    labels = torch.cat([sample.gt_sem_seg.data for sample in data_samples])
    full = F.interpolate(logits, labels.shape[1:], mode='bilinear')
    return F.cross_entropy(full, labels, ignore_index=255, reduction='none').mean()
