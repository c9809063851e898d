"""What a border offers, as one feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.models.utils import resize
from torch import Tensor


def concatenate(features: Sequence[Tensor], align_corners: bool = False) -> Tensor:
    """Resize feature maps ``(B, C_i, H_i, W_i)`` to the first one's size; stack their channels.

    A network with branches passes on one map per branch; a head that read only one of them would
    leave the others without a gradient.
    """
    first, *others = features
    if not others:
        return first
    size = first.shape[2:]
    resized = [resize(x, size=size, mode='bilinear', align_corners=align_corners) for x in others]
    return torch.cat([first, *resized], dim=1)


def total_channels(in_channels: int | Sequence[int]) -> int:
    """Return the channels of :func:`concatenate`'s result."""
    return in_channels if isinstance(in_channels, int) else sum(in_channels)
