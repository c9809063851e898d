"""Several convolutions of one input, whose gradient is summed up sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Setting = tuple[tuple[int, ...], tuple[int, ...]]
"""Of a convolution: padding and dilation."""


def convolve_each(x: Tensor, convolutions: Sequence[nn.Conv2d]) -> list[Tensor]:
    """Return what each convolution makes of ``x`` ``(B, C, H, W)``.

    Autograd makes a gradient as large as ``x`` for each one and adds them up, two at once; here
    there is one, and that of a sample beside it.

    Args:
        x: Their input.
        convolutions: Ungrouped, without bias, padded with zeros, of stride 1.
    """
    settings: list[Setting] = [(conv.padding, conv.dilation) for conv in convolutions]  # type: ignore[misc]
    weights = [conv.weight for conv in convolutions]
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, *weights = [tensor.to(dtype) for tensor in (x, *weights)]
    return list(_ConvolveEach.apply(settings, x, *weights))


class _ConvolveEach(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, settings: Sequence[Setting], x: Tensor, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the outputs."""
        ctx.settings = settings
        ctx.save_for_backward(x, *weights)
        return tuple(
            torch.conv2d(x, weight, None, 1, *setting)
            for weight, setting in zip(weights, settings, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the input and of the weights."""
        x, *weights = ctx.saved_tensors
        layers = list(zip(gradients, weights, ctx.settings, strict=True))
        own = [_backward(g, x, weight, setting, of_input=False) for g, weight, setting in layers]
        if not ctx.needs_input_grad[1]:
            return None, None, *own
        total = torch.zeros_like(x)
        for i in range(len(x)):
            one = slice(i, i + 1)
            for gradient, weight, setting in layers:
                total[one] += _backward(gradient[one], x[one], weight, setting, of_input=True)
        return None, total, *own


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, setting: Setting, of_input: bool
) -> Tensor:
    """Return the gradient of a convolution's input, or else of its weight."""
    padding, dilation = setting
    mask = (of_input, not of_input, False)
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, (1, 1), padding, dilation, False, (0, 0), 1, mask
    )
    return found[0 if of_input else 1]
