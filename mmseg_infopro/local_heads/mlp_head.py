"""DGL's local head: a perceptron of pixels on a pooled border feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..upstream import head_inputs
from .border import total_channels
from .chunked_loss import ChunkedLoss

REDUCTION = 4
"""Pixels of the border feature, in height and in width, per pixel that is classified."""
NUM_LAYERS = 3


@MODELS.register_module()
class MLPHead(ChunkedLoss):
    """Classifies pixels by three 1x1 convolutions of a feature that is pooled by four.

    MLP-SR of decoupled greedy learning, https://arxiv.org/abs/1901.08164, for dense labels:
    adaptive average pooling to ``(ceil(H / 4), ceil(W / 4))``, three times convolution, norm and
    ReLU, and a classifier; where the paper pools on and classifies the image, the logits are
    upsampled as in every decode head. The loss is computed in chunks, see :class:`ChunkedLoss`.

    Args:
        in_channels: As for any decode head.
        channels: Of the three convolutions; None is the paper's, as many as the border feature has.
        dropout_ratio: As for any decode head; the paper has none.
        **kwargs: As for :class:`mmseg.models.decode_heads.decode_head.BaseDecodeHead`.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        channels = total_channels(in_channels) if channels is None else channels
        super().__init__(in_channels, channels, dropout_ratio=dropout_ratio, **kwargs)
        layers = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        widths = [self.in_channels] + [channels] * (NUM_LAYERS - 1)
        self.layers = nn.Sequential(*(ConvModule(width, channels, 1, **layers) for width in widths))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logits ``(B, num_classes, ceil(H / 4), ceil(W / 4))``."""
        x = head_inputs(self, inputs)
        height, width = (math.ceil(length / REDUCTION) for length in x.shape[2:])
        return self.cls_seg(self.layers(F.adaptive_avg_pool2d(x, (height, width))))
