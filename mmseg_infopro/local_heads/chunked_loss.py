"""A decode head's loss sample by sample: a batch's full-size logits never live at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.logging import MMLogger
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.structures import OHEMPixelSampler
from mmseg.utils import SampleList
from torch import Tensor, nn

from ..upstream import stack_labels
from .chunked_cross_entropy import (
    EPS,
    CrossEntropySum,
    class_weights,
    label_probabilities,
    pixel_accuracy,
    pixel_losses,
    pixel_weights,
)
from .hard_pixels import largest, less_probable


class ChunkedLoss(BaseDecodeHead):
    """A trailing base of a decode head, ``class X(Head, ChunkedLoss)``, that chunks its loss.

    mmseg resizes the logits of the batch to the labels' size and keeps several tensors of that
    size for the backward pass. Here each sample is upsampled on its own, and only the gradient for
    its low-resolution logits is kept. Loss values, gradients and ``acc_seg`` are mmseg's, for one
    or several ``CrossEntropyLoss`` with any ``loss_weight``, ``class_weight``, ``avg_non_ignore``
    and a ``reduction`` of 'mean' or 'sum'; class weights with ``avg_non_ignore``, with which mmseg
    raises an IndexError, average as :func:`torch.nn.functional.cross_entropy` does. With an
    ``OHEMPixelSampler`` each sample is upsampled once more before, for the scores that say which
    pixels are hard. Losses and samplers that need more than a sum over pixels are left to the
    head's other bases; a warning names them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = self._obstacle()
        if found:
            MMLogger.get_current_instance().warning(
                f'{type(self).__name__} does not chunk its loss, and so saves no memory: '
                f'{found} is not the softmax CrossEntropyLoss of every pixel'
            )

    @classmethod
    def obstacle(cls, criteria: Sequence[Any]) -> str | None:
        """Return which of a head's losses cannot be computed in chunks, if any."""
        return obstacle(criteria)

    def loss_by_feat(self, seg_logits: Any, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return mmseg's losses and ``acc_seg`` of ``seg_logits`` ``(B, C, h, w)``."""
        if self._obstacle():
            return super().loss_by_feat(seg_logits, batch_data_samples)
        return self._chunked_losses(seg_logits, batch_data_samples)

    def _chunked_losses(self, seg_logits: Any, data_samples: SampleList) -> dict[str, Tensor]:
        labels = stack_labels(self, data_samples).squeeze(1)
        losses: dict[str, Tensor] = {}
        mined = self._mined(seg_logits, labels)
        for criterion in self._criteria():
            loss = self.chunked_cross_entropy(criterion, seg_logits, labels, mined)
            name = criterion.loss_name
            losses[name] = losses[name] + loss if name in losses else loss
        losses['acc_seg'] = self.chunked_accuracy(seg_logits, labels)
        return losses

    def _criteria(self) -> list[Any]:
        several = isinstance(self.loss_decode, nn.ModuleList)
        return list(self.loss_decode) if several else [self.loss_decode]

    def _obstacle(self) -> str | None:
        known = type(self.sampler) is OHEMPixelSampler
        return self.obstacle(self._criteria()) or obstacle((), None if known else self.sampler)

    def chunked_accuracy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return ``acc_seg`` of logits ``(B, C, h, w)`` and labels ``(B, H, W)``."""
        return pixel_accuracy(logits, labels, self.ignore_index, self.align_corners)

    def _mined(self, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Return the weights ``(B, H, W)`` of hard example mining, if the head does that."""
        if self.sampler is None:
            return None
        valid, num_kept = labels != self.ignore_index, self.sampler.min_kept * len(labels)
        how = (self.ignore_index, self.align_corners)
        if self.sampler.thresh is None:
            return largest(pixel_losses(self._criteria(), logits, labels, *how), valid, num_kept)
        probabilities = label_probabilities(logits, labels, *how)
        return less_probable(self.sampler.thresh, probabilities, valid, num_kept)

    def chunked_cross_entropy(
        self, criterion: CrossEntropyLoss, logits: Tensor, labels: Tensor, mined: Tensor | None
    ) -> Tensor:
        """Return one of the head's losses; ``mined`` weighs the pixels ``(B, H, W)``."""
        class_weight = class_weights(criterion, logits)
        loss = CrossEntropySum.apply(
            logits, labels, class_weight, mined, self.ignore_index, self.align_corners
        )
        if criterion.reduction == 'mean':
            if class_weight is None and not criterion.avg_non_ignore:
                loss = loss / labels.numel()
            else:
                loss = loss / (pixel_weights(labels, class_weight, self.ignore_index).sum() + EPS)
        return criterion.loss_weight * loss


def obstacle(criteria: Iterable[Any], sampler: Any = None) -> str | None:
    """Return what of a head's losses cannot be computed in chunks, if anything."""
    if sampler is not None:
        return f'the sampler {type(sampler).__name__}'
    for criterion in criteria:
        name = type(criterion).__name__
        # A subclass may compute something else.
        if type(criterion) is not CrossEntropyLoss:
            return name
        for setting in ('use_sigmoid', 'use_mask'):
            if getattr(criterion, setting):
                return f'{name} with {setting}'
        if criterion.reduction == 'none':
            return f"{name} with reduction='none'"
    return None
