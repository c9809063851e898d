"""A decode head's cross-entropy sample by sample: a batch's full-size logits never live at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.utils import resize
from mmseg.utils import SampleList
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..upstream import stack_labels
from .hard_pixels import hard_pixels, mines

# What mmseg adds to its divisors: crops that hold nothing but ignored pixels divide by it.
EPS = torch.finfo(torch.float32).eps


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

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Return mmseg's losses and ``acc_seg`` of ``seg_logits`` ``(B, C, h, w)``."""
        if self._obstacle():
            return super().loss_by_feat(seg_logits, batch_data_samples)
        labels = stack_labels(self, batch_data_samples).squeeze(1)
        losses: dict[str, Tensor] = {}
        mined = self._mined(seg_logits, labels) if mines(self.sampler) else None
        for criterion in self._criteria():
            loss = self._cross_entropy(criterion, seg_logits, labels, mined)
            name = criterion.loss_name
            losses[name] = losses[name] + loss if name in losses else loss
        losses['acc_seg'] = pixel_accuracy(
            seg_logits, labels, self.ignore_index, self.align_corners
        )
        return losses

    def _criteria(self) -> list[Any]:
        several = isinstance(self.loss_decode, nn.ModuleList)
        return list(self.loss_decode) if several else [self.loss_decode]

    def _obstacle(self) -> str | None:
        return obstacle(self._criteria(), None if mines(self.sampler) else self.sampler)

    @torch.no_grad()
    def _mined(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the weights ``(B, H, W)`` of hard example mining."""
        pairs = zip(logits.split(1), labels.split(1), strict=True)
        score = self._losses if self.sampler.thresh is None else self._probabilities
        scores = torch.cat([score(sample, label) for sample, label in pairs])
        return hard_pixels(self.sampler, scores, labels != self.ignore_index)

    def _probabilities(self, sample: Tensor, label: Tensor) -> Tensor:
        upsampled = _upsample(sample, label, self.align_corners).to(loss_dtype(sample))
        return upsampled.softmax(dim=1).gather(1, _targets(label, self.ignore_index)).squeeze(1)

    def _losses(self, sample: Tensor, label: Tensor) -> Tensor:
        upsampled = _upsample(sample, label, self.align_corners).to(loss_dtype(sample))
        return sum(
            criterion.loss_weight
            * F.cross_entropy(
                upsampled,
                label,
                _class_weight(criterion, sample),
                ignore_index=self.ignore_index,
                reduction='none',
            )
            for criterion in self._criteria()
        )

    def _cross_entropy(
        self, criterion: CrossEntropyLoss, logits: Tensor, labels: Tensor, mined: Tensor | None
    ) -> Tensor:
        class_weight = _class_weight(criterion, logits)
        loss = CrossEntropySum.apply(
            logits, labels, class_weight, mined, self.ignore_index, self.align_corners
        )
        if criterion.reduction == 'mean':
            if class_weight is None and not criterion.avg_non_ignore:
                loss = loss / labels.numel()
            else:
                loss = loss / (_pixel_weights(labels, class_weight, self.ignore_index).sum() + EPS)
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


class CrossEntropySum(torch.autograd.Function):
    """Sum over all pixels of the cross-entropy of logits that are upsampled to the labels' size.

    The forward pass computes the gradient too, in closed form, since it has each sample's
    full-size logits at hand once. In half precision the logits are upsampled as they are; the loss
    and the gradient are float32, and scaled only in the backward pass: nothing underflows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        class_weight: Tensor | None,
        mined: Tensor | None,
        ignore_index: int,
        align_corners: bool,
    ) -> Tensor:
        """Return the sum for ``logits`` ``(B, C, h, w)`` and ``labels`` ``(B, H, W)``.

        ``mined``, of the shape of the labels, weighs their pixels; they count alike without.
        """
        total = logits.new_zeros((), dtype=loss_dtype(logits))
        gradients = []
        for i, (sample, label) in enumerate(zip(logits.split(1), labels.split(1), strict=True)):
            # In a function of its own, whose full-size tensors die with each sample.
            loss, gradient = _loss_and_gradient(
                sample,
                label,
                class_weight,
                None if mined is None else mined[i : i + 1],
                ignore_index,
                align_corners,
                ctx.needs_input_grad[0],
            )
            total += loss
            gradients += [] if gradient is None else [gradient]
        if gradients:
            ctx.save_for_backward(torch.cat(gradients))
            ctx.dtype = logits.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradient for the logits."""
        (gradient,) = ctx.saved_tensors
        return (gradient * grad_output).to(ctx.dtype), None, None, None, None, None


@torch.no_grad()
def pixel_accuracy(
    logits: Tensor, labels: Tensor, ignore_index: int, align_corners: bool
) -> Tensor:
    """Return mmseg's ``acc_seg``, in percent and of shape ``(1,)``, sample by sample."""
    num_correct = labels.new_zeros(1)
    for sample, label in zip(logits.split(1), labels.split(1), strict=True):
        # Not argmax, which need not choose the same one of equal logits.
        predicted = _upsample(sample, label, align_corners).topk(1, dim=1).indices.squeeze(1)
        num_correct += ((predicted == label) & (label != ignore_index)).sum()
    num_valid = (labels != ignore_index).sum()
    return (num_correct + EPS) * (100 / (num_valid + EPS))


def loss_dtype(logits: Tensor) -> torch.dtype:
    """Return what a loss of logits is computed in: float32 or more."""
    return torch.promote_types(logits.dtype, torch.float32)


def _upsample(logits: Tensor, label: Tensor, align_corners: bool) -> Tensor:
    return resize(logits, size=label.shape[1:], mode='bilinear', align_corners=align_corners)


def _class_weight(criterion: CrossEntropyLoss, logits: Tensor) -> Tensor | None:
    if criterion.class_weight is None:
        return None
    return logits.new_tensor(criterion.class_weight, dtype=loss_dtype(logits))


def _targets(label: Tensor, ignore_index: int) -> Tensor:
    """Return the classes ``(B, 1, H, W)`` to gather by; any where a pixel is ignored."""
    return torch.where(label != ignore_index, label, 0).unsqueeze(1)


def _pixel_weights(labels: Tensor, class_weight: Tensor | None, ignore_index: int) -> Tensor:
    """Return by how much each pixel of ``(B, H, W)`` counts: not at all where it is ignored."""
    valid = labels != ignore_index
    if class_weight is None:
        return valid.float()
    return class_weight[torch.where(valid, labels, 0)] * valid


def _loss_and_gradient(
    sample: Tensor,
    label: Tensor,
    class_weight: Tensor | None,
    mined: Tensor | None,
    ignore_index: int,
    align_corners: bool,
    needs_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return the cross-entropy sum of a sample and, if needed, its gradient for the logits."""
    upsampled = _upsample(sample, label, align_corners).to(loss_dtype(sample))
    losses = F.cross_entropy(
        upsampled, label, class_weight, ignore_index=ignore_index, reduction='none'
    )
    loss = (losses if mined is None else losses * mined).sum()
    if not needs_gradient:
        return loss, None
    gradient = upsampled.softmax(dim=1)
    del upsampled  # leaves one full-size tensor, which is changed in place
    target = _targets(label, ignore_index)
    gradient.scatter_add_(1, target, gradient.new_full((), -1).expand(target.shape))
    weights = _pixel_weights(label, class_weight, ignore_index)
    gradient *= (weights if mined is None else weights * mined).unsqueeze(1)
    return loss, _downsample_gradient(gradient, sample, align_corners)


def _downsample_gradient(gradient: Tensor, sample: Tensor, align_corners: bool) -> Tensor:
    """Return the gradient for the logits before upsampling, which is linear: the point is free."""
    with torch.enable_grad():
        point = gradient.new_zeros(sample.shape).requires_grad_()
        upsampled = _upsample(point, gradient[:, 0], align_corners)
    return torch.autograd.grad(upsampled, point, gradient)[0]
