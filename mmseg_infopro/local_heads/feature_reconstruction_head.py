"""Keeps in a local module what it started from: rebuilds the module's input features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import OptConfigType, OptMultiConfig, SampleList
from torch import Tensor, nn

from .border import Border, concatenate, total_channels
from .reconstruction_head import fitting_norm

REDUCTION = 4
"""Channels of the border feature per hidden channel of the decoder."""


@MODELS.register_module()
class FeatureReconstructionHead(BaseModule):
    """Rebuilds what a local module starts from out of what it ends with.

    ``loss_weight * mean((dec(h_k) - sg(h_{k-1}))^2)``, the reconstruction of
    https://arxiv.org/abs/2212.14215 with the decoder and the weight of LoPT,
    https://arxiv.org/abs/2605.04913: norm, 1x1 convolution to a quarter of the channels, GELU, 1x1
    convolution. LoPT's norm is over the channels of a token; here it is the model's. The first
    module rebuilds the normalized image. Where the strides differ, the target is averaged to the
    size of the module's output, so that nothing is decoded at a finer one; where there are several
    features, all are, and their channels stacked.

    Args:
        in_channels: Channels of the border feature, or of each of its features.
        border: Where the head stands; says the channels of what the module starts from.
        norm_cfg: Norm layer of the decoder; a group norm gets as many of its groups as divide the
            channels; None leaves it out.
        align_corners: Of the resizing of a border's further features.
        loss_weight: The weight of this head's loss.
        init_cfg: As in mmengine.
    """

    loss_name = 'loss_feature'
    reads_entry = True

    def __init__(
        self,
        in_channels: int | Sequence[int],
        border: Border,
        norm_cfg: OptConfigType = None,
        align_corners: bool = False,
        loss_weight: float = 10.0,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        self.align_corners = align_corners
        self.loss_weight = loss_weight
        width = total_channels(in_channels)
        hidden = max(1, width // REDUCTION)
        norm = fitting_norm(norm_cfg, width)
        self.decode = nn.Sequential(
            nn.Identity() if norm is None else build_norm_layer(norm, width)[1],
            nn.Conv2d(width, hidden, 1),
            nn.GELU(),
            nn.Conv2d(hidden, sum(shape.channels for shape in border.entry), 1),
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the rebuilt features ``(B, C_entry, H, W)`` at the size of the border feature."""
        return self.decode(concatenate(inputs, self.align_corners))

    def loss(
        self,
        inputs: Sequence[Tensor],
        data_samples: SampleList,
        train_cfg: dict,
        entry: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Compare with ``entry``, the maps ``(B, C_i, H_i, W_i)`` that the module starts from."""
        rebuilt = self(inputs)
        height, width = rebuilt.shape[2:]
        error = rebuilt.float() - self.target(entry, (height, width))
        return {self.loss_name: self.loss_weight * error.square().mean()}

    @staticmethod
    @torch.no_grad()
    def target(entry: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return what is rebuilt, ``(B, C_entry, *size)``: averages of the entry's maps."""
        return torch.cat([F.adaptive_avg_pool2d(x.float(), size) for x in entry], dim=1)
