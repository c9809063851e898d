"""A task head whose width and stride fit a share of the network's FLOPs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor

from .narrow import Narrow
from .reconstruction_head import fitting_norm
from .reduced_labels import ReducedLabels


@MODELS.register_module()
class FittedTaskHead(ReducedLabels):
    """Classifies pixels at a coarse stride, by as many channels as a share of the FLOPs pays for.

    The border's features are pooled and projected, see :class:`Narrow`; a 3x3 convolution and a
    classifier follow. The loss is taken at the head's own stride, see :class:`ReducedLabels`: exact
    for logits that are repeated, where mmseg interpolates them. ``channels`` and ``min_stride`` are
    fitted to the border where they are not given, see :func:`~.fitting.fit`.

    Args:
        in_channels: As for any decode head.
        border_strides: Image pixels per pixel of each border feature.
        channels: Of both convolutions.
        min_stride: The finest stride at which the head works.
        **kwargs: As for :class:`mmseg.models.decode_heads.decode_head.BaseDecodeHead`.
    """

    share = 0.007
    enough_channels = (16, 64)

    def __init__(
        self,
        in_channels: int | Sequence[int],
        border_strides: Sequence[float],
        channels: int,
        min_stride: float = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, channels, **kwargs)
        each = [in_channels] if isinstance(in_channels, int) else in_channels
        self.narrow = Narrow(
            each, border_strides, channels, min_stride, self.norm_cfg, self.align_corners
        )
        norm = fitting_norm(self.norm_cfg, channels)
        self.mix = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm, act_cfg=self.act_cfg)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logits ``(B, num_classes, h, w)``, at ``min_stride`` or coarser."""
        index = [self.in_index] if isinstance(self.in_index, int) else self.in_index
        return self.cls_seg(self.mix(self.narrow([inputs[i] for i in index])))

    @staticmethod
    def weights(
        in_channels: int, channels: int, stride: float, num_classes: int, image_channels: int
    ) -> int:
        """Return the multiplications per pixel of its own, which are its convolutions' weights."""
        return in_channels * channels + 9 * channels**2 + channels * num_classes
