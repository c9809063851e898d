"""Labels at the stride of the logits: how many pixels of each class a cell has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .chunked_loss import EPS, ChunkedLoss, loss_dtype


class ReducedLabels(ChunkedLoss):
    """A trailing base of a decode head whose loss is taken at the stride of its logits.

    The labels come to the logits, not the logits to the labels: of each cell of the logits the
    pixels of each class are counted, and the cross-entropy is that of the counts. This is exactly,
    up to rounding, the cross-entropy of all labelled pixels with logits that are repeated over
    their cells (``mode='nearest'``), ``ignore_index``, ``class_weight``, ``avg_non_ignore``,
    ``reduction`` and ``acc_seg`` as in mmseg. It is not mmseg's loss, which interpolates the
    logits bilinearly. Losses and samplers that need more than a sum over pixels are computed by the
    head's other bases, with logits of full size; a warning names them.
    """

    def _sum_and_accuracy(
        self, logits: Tensor, labels: Tensor
    ) -> tuple[Callable[[Tensor | None], Tensor], Tensor]:
        counts = label_counts(labels, logits.shape[2:], logits.shape[1], self.ignore_index)
        log_probabilities = logits.to(loss_dtype(logits)).log_softmax(dim=1)

        def cross_entropy(class_weight: Tensor | None) -> Tensor:
            weights = counts if class_weight is None else counts * class_weight.view(1, -1, 1, 1)
            return -(weights * log_probabilities).sum()

        with torch.no_grad():
            predicted = logits.topk(1, dim=1).indices
            accuracy = (counts.gather(1, predicted).sum() + EPS) * (100 / (counts.sum() + EPS))
        return cross_entropy, accuracy.view(1)


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
    height, width = labels.shape[1:]
    rows, columns = (
        torch.arange(length, device=labels.device) * cells // length
        for length, cells in zip((height, width), size, strict=True)
    )
    cells = rows[:, None] * size[1] + columns
    num_cells = size[0] * size[1]
    counts = []
    for label in labels:  # one at a time: its indices are as large as all its classes' counts
        counted = label != ignore_index
        index = torch.where(counted, label, 0) * num_cells + cells
        zeros = torch.zeros(num_classes * num_cells, device=labels.device)
        counts.append(zeros.scatter_add_(0, index.flatten(), counted.flatten().float()))
    return torch.stack(counts).view(-1, num_classes, *size)
