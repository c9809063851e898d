"""The cross-entropy of upsampled logits sample by sample, and other figures of their pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.utils import resize
from torch import Tensor
from torch.autograd.function import once_differentiable

# What mmseg adds to its divisors: crops that hold nothing but ignored pixels divide by it.
EPS = torch.finfo(torch.float32).eps


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
        predicted = upsample(sample, label, align_corners).topk(1, dim=1).indices.squeeze(1)
        num_correct += ((predicted == label) & (label != ignore_index)).sum()
    num_valid = (labels != ignore_index).sum()
    return (num_correct + EPS) * (100 / (num_valid + EPS))


def loss_dtype(logits: Tensor) -> torch.dtype:
    """Return what a loss of logits is computed in: float32 or more."""
    return torch.promote_types(logits.dtype, torch.float32)


def upsample(logits: Tensor, label: Tensor, align_corners: bool) -> Tensor:
    """Return logits at the labels' size."""
    return resize(logits, size=label.shape[1:], mode='bilinear', align_corners=align_corners)


def class_weights(criterion: Any, logits: Tensor) -> Tensor | None:
    """Return a loss's class weights ``(C,)``, if it has any, for logits of a type."""
    if criterion.class_weight is None:
        return None
    return logits.new_tensor(criterion.class_weight, dtype=loss_dtype(logits))


@torch.no_grad()
def label_probabilities(
    logits: Tensor, labels: Tensor, ignore_index: int, align_corners: bool
) -> Tensor:
    """Return the probability ``(B, H, W)`` of each pixel's label, sample by sample."""
    probabilities = [
        upsample(sample, label, align_corners)
        .to(loss_dtype(sample))
        .softmax(dim=1)
        .gather(1, _targets(label, ignore_index))
        for sample, label in zip(logits.split(1), labels.split(1), strict=True)
    ]
    return torch.cat(probabilities).squeeze(1)


@torch.no_grad()
def pixel_losses(
    criteria: Iterable[Any], logits: Tensor, labels: Tensor, ignore_index: int, align_corners: bool
) -> Tensor:
    """Return the cross-entropies ``(B, H, W)`` of some losses, weighted and added."""
    losses = []
    for sample, label in zip(logits.split(1), labels.split(1), strict=True):
        upsampled = upsample(sample, label, align_corners).to(loss_dtype(sample))
        losses.append(torch.zeros_like(upsampled[:, 0]))
        for criterion in criteria:
            weight = class_weights(criterion, sample)
            losses[-1] += criterion.loss_weight * F.cross_entropy(
                upsampled, label, weight, ignore_index=ignore_index, reduction='none'
            )
    return torch.cat(losses)


def _targets(label: Tensor, ignore_index: int) -> Tensor:
    """Return the classes ``(B, 1, H, W)`` to gather by; any where a pixel is ignored."""
    return torch.where(label != ignore_index, label, 0).unsqueeze(1)


def pixel_weights(labels: Tensor, class_weight: Tensor | None, ignore_index: int) -> Tensor:
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
    upsampled = upsample(sample, label, align_corners).to(loss_dtype(sample))
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
    weights = pixel_weights(label, class_weight, ignore_index)
    gradient *= (weights if mined is None else weights * mined).unsqueeze(1)
    return loss, _downsample_gradient(gradient, sample, align_corners)


def _downsample_gradient(gradient: Tensor, sample: Tensor, align_corners: bool) -> Tensor:
    """Return the gradient for the logits before upsampling, which is linear: the point is free."""
    with torch.enable_grad():
        point = gradient.new_zeros(sample.shape).requires_grad_()
        upsampled = upsample(point, gradient[:, 0], align_corners)
    return torch.autograd.grad(upsampled, point, gradient)[0]
