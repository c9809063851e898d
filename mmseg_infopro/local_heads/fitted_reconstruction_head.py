"""A reconstruction head whose width and stride fit a share of the network's FLOPs."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import OptConfigType, OptMultiConfig, SampleList
from torch import Tensor, nn

from .image_target import ImageRange, ImageTarget
from .narrow import Narrow, working_stride

REDUCTION = 4
"""Image pixels, in height and in width, per pixel that is rebuilt."""


@MODELS.register_module()
class FittedReconstructionHead(BaseModule):
    """Rebuilds a reduced image by as many channels as a share of the network's FLOPs pays for.

    The border's features are pooled and projected, see :class:`Narrow`; a 1x1 convolution predicts
    all pixels in each cell of the result at once. The loss is InfoPro's, the binary cross-entropy
    against the image in [0, 1], https://arxiv.org/abs/2101.10832, equation 6, but against averages
    of 4x4 pixels: what is finer is not asked for, and nothing of full size is decoded. ``channels``
    and ``min_stride`` are fitted to the border where they are not given, see :func:`~.fitting.fit`.

    Args:
        in_channels: Channels of the border feature, or of each of its features.
        border_strides: Image pixels per pixel of each border feature.
        image_mean: Per-channel mean that the data preprocessor subtracts.
        image_std: Per-channel standard deviation that the data preprocessor divides by.
        channels: After the first convolution.
        min_stride: The finest stride at which the head works.
        norm_cfg: Norm layer; a group norm gets as many of its groups as divide the channels.
        align_corners: Of the bilinear resizing of a border's further features.
        loss_weight: The weight of this head's loss, InfoPro's lambda_1.
        image_range: As for :class:`ImageTarget`.
        init_cfg: As in mmengine.
    """

    loss_name = 'loss_rec'
    reads_image = True
    share = 0.003
    enough_channels = (16, 16)

    def __init__(
        self,
        in_channels: int | Sequence[int],
        border_strides: Sequence[float],
        image_mean: Sequence[float],
        image_std: Sequence[float],
        channels: int,
        min_stride: float = 8,
        norm_cfg: OptConfigType = None,
        align_corners: bool = False,
        loss_weight: float = 1.0,
        image_range: ImageRange = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        self.loss_weight = loss_weight
        each = [in_channels] if isinstance(in_channels, int) else in_channels
        self.narrow = Narrow(each, border_strides, channels, min_stride, norm_cfg, align_corners)
        self.upscale = _upscale(working_stride(border_strides, min_stride))
        self.predict_image = nn.Conv2d(channels, len(image_mean) * self.upscale**2, 1)
        self.image = ImageTarget(image_mean, image_std, image_range)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logits of the reduced image, ``(B, channels, h, w)``."""
        return F.pixel_shuffle(self.predict_image(self.narrow(inputs)), self.upscale)

    def target(self, image: Tensor, size: Sequence[int]) -> Tensor:
        """Return the image in [0, 1], averaged to ``size``."""
        return self.image(F.adaptive_avg_pool2d(image.detach().float(), (size[0], size[1])))

    def loss(
        self, inputs: Sequence[Tensor], data_samples: SampleList, train_cfg: dict, image: Tensor
    ) -> dict[str, Tensor]:
        """Compare the reconstruction with the normalized ``image`` of shape ``(B, C, H, W)``."""
        logits = self(inputs).float()
        self.image.observe(image)
        target = self.target(image, logits.shape[2:])
        loss = F.binary_cross_entropy_with_logits(logits, target)
        return {self.loss_name: self.loss_weight * loss}

    def reconstruct(self, inputs: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the rebuilt image in [0, 1], reduced, in the channel order of the network."""
        return self(inputs).sigmoid()

    @staticmethod
    def weights(
        in_channels: int, channels: int, stride: float, num_classes: int, image_channels: int
    ) -> int:
        """Return the multiplications per pixel of its own, which are its convolutions' weights."""
        return in_channels * channels + channels * image_channels * _upscale(stride) ** 2


def _upscale(stride: float) -> int:
    """Return the pixels that a cell of a stride predicts, in height and in width."""
    return max(1, round(stride / REDUCTION))
