"""A slow average of units of the backbone: a copy without anything to train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import Unit, UnrolledBackbone
from .unit_copy import UnitCopy

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class UnitAverage(UnitCopy):
    """A copy of units whose parameters are buffers, which follow the backbone's on request.

    Its batch norms use the statistics of the batch in training, as those of any copy do.

    Args:
        backbone: As for :class:`UnitCopy`.
        units: As for :class:`UnitCopy`.
    """

    def __init__(self, backbone: UnrolledBackbone, units: Sequence[Unit]) -> None:
        super().__init__(backbone, units)
        self.averaged = [name for name, _ in self.parts.named_parameters(remove_duplicate=False)]
        for layer in list(self.parts.modules()):
            for name, child in list(layer.named_children()):
                if type(child) in BATCH_NORMS and child.affine:
                    setattr(layer, name, BufferedNorm(child))
        for layer in self.parts.modules():
            for name, parameter in list(layer.named_parameters(recurse=False)):
                delattr(layer, name)
                layer.register_buffer(name, parameter.detach())

    @torch.no_grad()
    def move(
        self, backbone: UnrolledBackbone, momentum: float, was_updated: Tensor | None = None
    ) -> None:
        """Set each parameter to ``momentum`` times itself plus the rest of the backbone's.

        Args:
            backbone: With the units.
            momentum: From 0 to 1.
            was_updated: A boolean; where it is False nothing moves, and the host need not know.
        """
        own, others = dict(self.parts.named_buffers()), dict(backbone.named_parameters())
        for name in self.averaged:
            share: Any = 1 - momentum
            if was_updated is not None:
                share = share * was_updated.to(own[name])
            own[name].lerp_(others[name], share)


class BufferedNorm(nn.Module):
    """A batch norm with its scale and shift as buffers beside it.

    What turns batch norms into synchronized ones, or back, takes their scale for a parameter.

    Args:
        norm: Is taken over, without its scale and shift.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.register_buffer('weight', norm.weight.detach())  # type: ignore[operator]
        self.register_buffer('bias', norm.bias.detach())  # type: ignore[operator]
        self.norm = norm
        norm.affine = False  # type: ignore[assignment]
        norm.weight = norm.bias = None  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized, scaled and shifted ``x``, of shape ``(B, C, ...)``."""
        shape = (-1, *(1 for _ in x.shape[2:]))
        weight, bias = self.weight.view(shape), self.bias.view(shape)
        return (self.norm(x) * weight + bias).to(x.dtype)
