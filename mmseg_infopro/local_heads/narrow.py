"""The first layer of a cheap local head: a border's features, coarse and in few channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.utils import OptConfigType
from torch import Tensor, nn

from .border import concatenate
from .reconstruction_head import fitting_norm


class Narrow(nn.Module):
    """Pools features to a stride, stacks them, and projects them to few channels.

    Each map that is finer than the stride is averaged before anything else reads it; the finest
    one says the size, to which maps that are coarser are resized. Then a 1x1 convolution, a norm
    and a ReLU: neither cost nor memory grows with the resolution of the border.

    Args:
        in_channels: Of each feature.
        strides: Image pixels per pixel of each feature.
        channels: After the convolution.
        stride: The finest one that is worked at.
        norm_cfg: Norm layer; a group norm gets as many of its groups as divide the channels.
        align_corners: Of the bilinear resizing of coarser features.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        strides: Sequence[float],
        channels: int,
        stride: float,
        norm_cfg: OptConfigType = None,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.pool_sizes = [max(1, round(stride / own)) for own in strides]
        self.order = sorted(range(len(strides)), key=strides.__getitem__)
        self.align_corners = align_corners
        norm = fitting_norm(norm_cfg, channels)
        self.project = ConvModule(sum(in_channels), channels, 1, norm_cfg=norm)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return ``(B, channels, h, w)`` for maps ``(B, C_i, H_i, W_i)``."""
        pooled = [_pool(features[index], self.pool_sizes[index]) for index in self.order]
        return self.project(concatenate(pooled, self.align_corners))


def _pool(x: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(x, size, ceil_mode=True) if size > 1 else x


def working_stride(strides: Sequence[float], stride: float) -> float:
    """Return the stride of what :class:`Narrow` makes, which stays on a coarser border."""
    finest = min(strides)
    return finest * max(1, round(stride / finest))
