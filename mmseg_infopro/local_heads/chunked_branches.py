"""The losses of heads with an output for each branch, sample by sample: DDRNet's and PIDNet's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.decode_heads import DDRHead, PIDHead
from mmseg.models.losses import OhemCrossEntropy
from mmseg.models.utils import resize
from mmseg.utils import SampleList
from torch import Tensor

from ..upstream import stack_labels
from .chunked_cross_entropy import CrossEntropySum, class_weights, label_probabilities
from .chunked_loss import ChunkedLoss, obstacle
from .hard_pixels import less_probable

BOUNDARY = 0.8
"""From which probability on PIDNet trains a pixel as one of a boundary."""


class _MinedLoss(ChunkedLoss):
    """With mmseg's ``OhemCrossEntropy``; where no pixel is hard, its mean of none, NaN, is 0."""

    def _ohem(self, criterion: OhemCrossEntropy, logits: Tensor, labels: Tensor) -> Tensor:
        how = (criterion.ignore_label, self.align_corners)
        valid = labels != criterion.ignore_label
        probabilities = label_probabilities(logits, labels, *how)
        mined = less_probable(criterion.thresh, probabilities, valid, criterion.min_kept)
        total = CrossEntropySum.apply(logits, labels, class_weights(criterion, logits), mined, *how)
        return criterion.loss_weight * total / mined.sum().clamp(min=1)


class ChunkedDDRLoss(_MinedLoss):
    """A leading base of ``DDRHead``: the losses of its context and its spatial branch."""

    @classmethod
    def obstacle(cls, criteria: Sequence[Any]) -> str | None:
        """Return which of the two losses is not mmseg's ``OhemCrossEntropy``, if any."""
        return _not_mined(criteria[:2])

    def _chunked_losses(self, seg_logits: Any, data_samples: SampleList) -> dict[str, Tensor]:
        labels = stack_labels(self, data_samples).squeeze(1)
        context, spatial = seg_logits
        return dict(
            loss_context=self._ohem(self.loss_decode[0], context, labels),
            loss_spatial=self._ohem(self.loss_decode[1], spatial, labels),
            acc_seg=self.chunked_accuracy(context, labels),
        )


class ChunkedPIDLoss(_MinedLoss):
    """A leading base of ``PIDHead``: all losses but that of the boundary, which has one channel."""

    @classmethod
    def obstacle(cls, criteria: Sequence[Any]) -> str | None:
        """Return which of the losses of classes are not those that can be chunked, if any."""
        return obstacle(criteria[:1]) or _not_mined(criteria[1:4:2])

    def _chunked_losses(self, seg_logits: Any, data_samples: SampleList) -> dict[str, Tensor]:
        labels, edges = (stacked.squeeze(1) for stacked in stack_labels(self, data_samples))
        proportional, integral, derivative = seg_logits
        boundary = resize(
            derivative, size=edges.shape[1:], mode='bilinear', align_corners=self.align_corners
        )
        is_boundary = torch.sigmoid(boundary[:, 0]) > BOUNDARY
        near = torch.where(is_boundary, labels, self.ignore_index)
        return dict(
            loss_sem_p=self.chunked_cross_entropy(self.loss_decode[0], proportional, labels, None),
            loss_sem_i=self._ohem(self.loss_decode[1], integral, labels),
            loss_bd=self.loss_decode[2](boundary, edges),
            loss_sem_bd=self._ohem(self.loss_decode[3], integral, near),
            acc_seg=self.chunked_accuracy(integral, labels),
        )


OWN_LOSSES = {DDRHead.loss_by_feat: ChunkedDDRLoss, PIDHead.loss_by_feat: ChunkedPIDLoss}
"""By the ``loss_by_feat`` that they stand for."""


def _not_mined(criteria: Sequence[Any]) -> str | None:
    found = [type(item).__name__ for item in criteria if type(item) is not OhemCrossEntropy]
    return found[0] if found else None
