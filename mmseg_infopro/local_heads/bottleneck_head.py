"""A cheap task head for local modules, which works at a coarse stride wherever its border is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor

from ..upstream import head_inputs
from .chunked_loss import ChunkedLoss


@MODELS.register_module()
class BottleneckHead(ChunkedLoss):
    """Classifies pixels after a 1x1 convolution to few channels and one 3x3 convolution.

    A finer border feature than ``min_stride`` is average-pooled first: every pixel keeps its share
    of the gradient, and neither the cost nor the memory of the head grows with the resolution. The
    loss is computed in chunks, see :class:`ChunkedLoss`.

    Args:
        in_channels: As for any decode head.
        stride: Image pixels per pixel of the (first) border feature.
        channels: Channels of both convolutions.
        min_stride: The finest stride at which the head works.
        **kwargs: As for :class:`mmseg.models.decode_heads.decode_head.BaseDecodeHead`.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        stride: float,
        channels: int = 128,
        min_stride: float = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, channels, **kwargs)
        if stride <= 0:
            raise ValueError(f'stride must be positive, got {stride}')
        if min_stride <= 0:
            raise ValueError(f'min_stride must be positive, got {min_stride}')
        self.pool_size = max(1, math.ceil(min_stride / stride))
        layers = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.reduce = ConvModule(self.in_channels, channels, 1, **layers)
        self.mix = ConvModule(channels, channels, 3, padding=1, **layers)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logits ``(B, num_classes, h, w)``, at ``min_stride`` or coarser."""
        x = head_inputs(self, inputs)
        if self.pool_size > 1:
            x = F.avg_pool2d(x, self.pool_size, ceil_mode=True)
        return self.cls_seg(self.mix(self.reduce(x)))
