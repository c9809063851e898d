"""Labels at the stride of the logits: how many pixels of each class a cell has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.utils import SampleList
from torch import Tensor

from ..upstream import stack_labels
from .chunked_cross_entropy import EPS, loss_dtype
from .chunked_loss import obstacle
from .task_loss import losses_of


class ReducedLabels(BaseDecodeHead):
    """A trailing base of a decode head whose loss is taken at the stride of its logits.

    The labels come to the logits, not the logits to the labels: of each cell of the logits the
    pixels of each class are counted, and the cross-entropy is that of the counts. This is exactly,
    up to rounding, mmseg's cross-entropy of all pixels with logits that are repeated over their
    cells (``mode='nearest'``): softmax or sigmoid, with ``ignore_index``, ``class_weight``,
    ``avg_non_ignore`` and ``reduction``; so is ``acc_seg``. It is not mmseg's loss of the same
    logits, which are interpolated bilinearly there: where labels change within a cell, each class
    weighs by its share of the cell. Losses and samplers that need more than a sum over pixels are
    left to the head's other bases, with logits of full size; a warning names them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = self._obstacle()
        if found:
            MMLogger.get_current_instance().warning(
                f'{type(self).__name__} does not reduce its labels, and its loss is of full size: '
                f'{found} is not the CrossEntropyLoss of every pixel'
            )

    def _obstacle(self) -> str | None:
        softmax = [item for item in losses_of(self) if not _is_sigmoid(item)]
        return obstacle(softmax, self.sampler)

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return the losses and ``acc_seg`` of ``seg_logits`` ``(B, C, h, w)``."""
        if self._obstacle():
            return super().loss_by_feat(seg_logits, batch_data_samples)
        labels = stack_labels(self, batch_data_samples).squeeze(1)
        logits = seg_logits.to(loss_dtype(seg_logits))
        num_classes = max(2, logits.shape[1])  # one channel tells two of them apart
        counts = label_counts(labels, logits.shape[2:], num_classes, self.ignore_index)
        losses: dict[str, Tensor] = {}
        for criterion in losses_of(self):
            entropy = _sigmoid_entropy if criterion.use_sigmoid else _softmax_entropy
            loss = criterion.loss_weight * entropy(logits, counts, labels.numel(), criterion)
            name = criterion.loss_name
            losses[name] = losses[name] + loss if name in losses else loss
        losses['acc_seg'] = _accuracy(logits, counts)
        return losses


def _is_sigmoid(criterion: Any) -> bool:
    """Whether a loss is a sum of binary cross-entropies; weights of classes have no one meaning."""
    return (
        type(criterion) is CrossEntropyLoss
        and criterion.use_sigmoid
        and not criterion.use_mask
        and criterion.class_weight is None
        and criterion.reduction != 'none'
    )


def _softmax_entropy(
    logits: Tensor, counts: Tensor, num_pixels: int, criterion: CrossEntropyLoss
) -> Tensor:
    weighted = criterion.class_weight is not None
    if weighted:
        counts = counts * logits.new_tensor(criterion.class_weight).view(1, -1, 1, 1)
    total = -(counts * logits.log_softmax(dim=1)).sum()
    if criterion.reduction == 'sum':
        return total
    return total / (counts.sum() + EPS if weighted or criterion.avg_non_ignore else num_pixels)


def _sigmoid_entropy(
    logits: Tensor, counts: Tensor, num_pixels: int, criterion: CrossEntropyLoss
) -> Tensor:
    num_outputs = logits.shape[1]
    counted = counts.sum(dim=1, keepdim=True)
    positive = counts[:, 1:] if num_outputs == 1 else counts
    total = (positive * F.softplus(-logits) + (counted - positive) * F.softplus(logits)).sum()
    if criterion.reduction == 'sum':
        return total
    return total / num_outputs / (counted.sum() + EPS if criterion.avg_non_ignore else num_pixels)


@torch.no_grad()
def _accuracy(logits: Tensor, counts: Tensor) -> Tensor:
    """Return the share of pixels that a cell's prediction is right for, in percent, ``(1,)``."""
    predicted = (logits > 0).long() if logits.shape[1] == 1 else logits.topk(1, dim=1).indices
    correct = counts.gather(1, predicted).sum()
    return ((correct + EPS) * (100 / (counts.sum() + EPS))).view(1)


@torch.no_grad()
def label_counts(
    labels: Tensor, size: Sequence[int], num_classes: int, ignore_index: int
) -> Tensor:
    """Count the pixels of each class in the cells of a coarser grid.

    A pixel is in the cell that nearest-neighbour upsampling would copy to it.

    Args:
        labels: ``(B, H, W)``; classes below ``num_classes``, or ``ignore_index``.
        size: Of the grid, ``(h, w)``.
        num_classes: C.
        ignore_index: Label of the pixels that are in no count.

    Returns:
        ``(B, C, h, w)`` in float32, in which counts are exact.
    """
    rows, columns = (
        torch.arange(length, device=labels.device) * cells // length
        for length, cells in zip(labels.shape[1:], size, strict=True)
    )
    num_cells = size[0] * size[1]
    counts = labels.new_zeros(len(labels), num_classes * num_cells, dtype=torch.float32)
    for label, count in zip(labels, counts, strict=True):  # of one sample, not of a batch
        counted = label != ignore_index
        index = torch.where(counted, label, 0).mul_(num_cells)
        index.add_(rows[:, None] * size[1]).add_(columns)
        count.scatter_add_(0, index.flatten(), counted.flatten().float())
    return counts.view(-1, num_classes, *size)
