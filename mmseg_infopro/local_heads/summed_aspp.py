"""ASPP branch by branch: what its branches return is never there at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmseg.models.decode_heads import ASPPHead, DepthwiseSeparableASPPHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from ..recompute.function import recompute
from ..recompute.layers import RecomputesItself
from ..recompute.operations import Saved
from ..upstream import head_inputs
from .shared_input import convolve_each


class SummedASPP(RecomputesItself, ASPPHead):
    """A leading base of ``ASPPHead`` that trains its branches one by one.

    mmseg concatenates the branches, and convolves: five maps, their concatenation, and as much
    again in gradients. That convolution is the sum of one for each branch, by its part of the
    weight. Here each branch is added to the sum as soon as it is there, and where the head
    recomputes, what a branch's convolution returned is all that waits for the backward pass.

    What the image pooling adds is the same for all pixels but those at the edge, and so is
    computed for three by three of them: a fifth of the last convolution's FLOPs less.

    Values and gradients are mmseg's up to the order in which sums are taken, the names of
    parameters are mmseg's, and prediction is its own code. So is training with convolutions that
    are not plain ones.
    """

    @property
    def recomputed_inside(self) -> tuple[str, ...]:
        """Return what is summed up."""
        return ('aspp_modules', 'bottleneck') if _can_sum(self) else ()

    def _forward_feature(self, inputs: Any) -> Tensor:
        if not _sums(self):
            return super()._forward_feature(inputs)
        return _features(self, head_inputs(self, inputs))


class SummedSeparableASPP(SummedASPP, DepthwiseSeparableASPPHead):
    """The same for ``DepthwiseSeparableASPPHead``."""

    def forward(self, inputs: Any) -> Tensor:
        """Return the logits ``(B, C, h, w)``."""
        if not _sums(self):
            return super().forward(inputs)
        return _separable_logits(self, inputs)


SUMMED: dict[Any, tuple[type, ...]] = {
    ASPPHead: (SummedASPP,),
    DepthwiseSeparableASPPHead: (SummedSeparableASPP,),
}
"""What stands before heads of mmseg, but not of classes derived from them, which may differ."""


def _sums(head: ASPPHead) -> bool:
    return head.training and torch.is_grad_enabled() and _can_sum(head)


def _can_sum(head: ASPPHead) -> bool:
    """Whether the last convolution is one that can be taken apart."""
    layer = head.bottleneck
    if not _is_plain(layer):
        return False
    conv = layer.conv
    return (conv.kernel_size, conv.padding, conv.dilation) == ((3, 3), (1, 1), (1, 1))


def _is_plain(layer: Any) -> bool:
    """Whether a layer is a zero-padded convolution of stride 1, a norm and an activation."""
    return (
        type(layer) is ConvModule
        and layer.order == ('conv', 'norm', 'act')
        and layer.with_norm
        and type(layer.conv) is nn.Conv2d
        and layer.conv.bias is None
        and not (layer.with_spectral_norm or layer.with_explicit_padding)
        and (layer.conv.padding_mode, layer.conv.groups, layer.conv.stride) == ('zeros', 1, (1, 1))
    )


def _features(head: ASPPHead, x: Tensor) -> Tensor:
    """Return what the head classifies, ``(B, channels, H, W)``, of its input."""
    conv = head.bottleneck.conv
    pooled_weight, *weights = conv.weight.split(head.channels, dim=1)
    # In the order in which the backward pass is best done with them: what is first comes last.
    pooled = head.image_pool(x)
    branches = list(head.aspp_modules)
    starts: list[Tensor] = [x] * len(branches)
    parts: list[Callable[..., Tensor]] = list(branches)
    if all(map(_is_plain, branches)):
        starts = convolve_each(x, [branch.conv for branch in branches])
        parts = [partial(_norm_and_activation, branch) for branch in branches]
    total = _convolved_constant(pooled, pooled_weight, x.shape[2:])
    for position, (branch, weight) in enumerate(zip(branches, weights, strict=True)):
        start, starts[position] = starts[position], x  # which then holds no map of the branch
        # Where it begins with one convolution for each channel, that is no FLOPs to speak of.
        saved: Saved = (1,) if isinstance(branch, DepthwiseSeparableConvModule) else 'cheap'
        total += _run(head, branch, partial(_share, parts[position]), start, weight, saved=saved)
        del start
    return _run(head, head.bottleneck, partial(_norm_and_activation, head.bottleneck), total)


def _separable_logits(head: Any, inputs: Any) -> Tensor:
    output = _features(head, head_inputs(head, inputs))
    if head.c1_bottleneck is not None:
        low = head.c1_bottleneck(inputs[0])
        output = resize(output, low.shape[2:], mode='bilinear', align_corners=head.align_corners)
        output = torch.cat([output, low], dim=1)
    return head.cls_seg(head.sep_bottleneck(output))


def _share(part: Callable[..., Tensor], start: Tensor, weight: Tensor) -> Tensor:
    """Return what one branch adds to the sum."""
    return F.conv2d(part(start), weight, padding=1)


def _norm_and_activation(layer: ConvModule, x: Tensor) -> Tensor:
    x = layer.norm(x)
    return layer.activate(x) if layer.with_activation else x


def _run(
    head: RecomputesItself,
    layer: nn.Module,
    function: Callable[..., Tensor],
    *args: Tensor,
    saved: Saved = 'cheap',
) -> Tensor:
    """Run a function of a layer, so that it recomputes what is no convolution if that is asked."""
    if not head.recomputes:
        return function(*args)
    norms = [part for part in layer.modules() if getattr(part, 'running_mean', None) is not None]
    return recompute(function, *args, saved=saved, norms=norms)


def _convolved_constant(value: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    """Convolve a map that is ``value`` ``(B, C, 1, 1)`` everywhere, with zeros around it."""
    height, width = size
    small = value.expand(-1, -1, min(height, 3), min(width, 3))
    small = F.conv2d(small, weight, padding=1)
    return _widened(_widened(small, 3, width), 2, height)


def _widened(small: Tensor, dim: int, size: int) -> Tensor:
    """Repeat the middle of three lines as often as it takes."""
    if size <= 3:
        return small
    first, middle, last = small.split(1, dim)
    shape = list(middle.shape)
    shape[dim] = size - 2
    return torch.cat([first, middle.expand(shape), last], dim)
