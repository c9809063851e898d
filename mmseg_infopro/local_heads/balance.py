"""Weights of local losses without tables: gradients of equal strength at the border."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

BALANCED = 'balanced'
"""A ``loss_weight`` that follows from the strengths of the gradients."""
MOMENTUM = 0.9
SCALE = 1024.0
"""Of the losses that are measured, so that gradients in float16 do not vanish."""


class Strength(nn.Module):
    """How strong the gradient of a head's losses is at its border: a running average, saved.

    Attributes:
        norm: L2 norm of the gradient with respect to the border's state.
        count: Of the measurements.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm: Tensor
        self.count: Tensor
        self.register_buffer('norm', torch.ones(()))
        self.register_buffer('count', torch.zeros((), dtype=torch.long))

    def add(self, norm: Tensor) -> None:
        """Take a measurement; one that is zero or not finite is none."""
        sound = norm.isfinite() & (norm > 0)
        average = torch.where(self.count > 0, MOMENTUM * self.norm + (1 - MOMENTUM) * norm, norm)
        self.norm.copy_(torch.where(sound, average, self.norm))
        self.count.add_(sound)


def gradient_norms(
    heads: Sequence[Any], leaves: Sequence[Tensor], losses: Callable[[Any], Mapping[str, Any]]
) -> Tensor:
    """Return the L2 norm of each head's gradient at their border, as means over all processes.

    Args:
        heads: Of the border.
        leaves: The border's state, cut off what is before it.
        losses: Returns a head's losses of these.

    Raises:
        ValueError: The losses of a head do not depend on the border.
    """
    norms = torch.stack([_norm(head, leaves, losses(head)) for head in heads])
    all_reduce(norms, 'mean')
    return norms


def _norm(head: Any, leaves: Sequence[Tensor], losses: Mapping[str, Any]) -> Tensor:
    parts = [value for name, value in losses.items() if 'loss' in name]
    total = SCALE * torch.stack([part.mean() for part in parts]).sum()
    found = torch.autograd.grad(total, leaves, allow_unused=True) if total.requires_grad else []
    gradients = [gradient.float() for gradient in found if gradient is not None]
    if not gradients:
        raise ValueError(
            f"loss_weight='balanced' needs gradients at the border, and the local head "
            f'{type(head).__name__} gives none there: give every head of the border a number'
        )
    return torch.stack([gradient.norm() for gradient in gradients]).norm() / SCALE


def balanced_weight(head: Any, heads: Sequence[Any]) -> Tensor:
    """Return what a head's losses count, beside the weights that its configuration has.

    A balanced head is as strong as the heads with numbers are together; without any, as the mean of
    the balanced ones.

    Args:
        head: A balanced one.
        heads: All of its border, each with its :class:`Strength` as ``strength``.
    """
    fixed = [other.strength.norm for other in heads if not other.is_balanced]
    balanced = [other.strength.norm for other in heads if other.is_balanced]
    target = torch.stack(fixed).sum() if fixed else torch.stack(balanced).mean()
    measured = torch.stack([other.strength.count for other in heads]).min() > 0
    return torch.where(measured, target / head.strength.norm, torch.ones_like(target))
