"""InfoPro's decoder: rebuilds the image from a local module's output."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import OptConfigType, OptMultiConfig, SampleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .border import concatenate, total_channels
from .image_target import ImageRange, ImageTarget


@MODELS.register_module()
class ReconstructionHead(BaseModule):
    """Keeps information about the image in a local module by rebuilding the image from it.

    A 1x1 convolution to ``channels``, then as many steps of bilinear upsampling by two and a 3x3
    convolution as the boundary's stride asks for, with norm and ReLU between; the last step has
    one channel per image channel and a sigmoid. The loss is the binary cross-entropy against the
    image in [0, 1], the reconstruction term of https://arxiv.org/abs/2101.10832, equation 6. At
    stride 8 and with the defaults this is the paper's decoder, 128-32-12-3. Upsampled maps are made
    sample by sample and are not kept for the backward pass.

    Args:
        in_channels: Channels of the border feature, or of each of its features.
        stride: Image pixels per pixel of the (first) border feature.
        image_mean: Per-channel mean that the data preprocessor subtracts.
        image_std: Per-channel standard deviation that the data preprocessor divides by.
        channels: Channels after the 1x1 convolution.
        hidden_channels: Channels after all steps but the last, counted from the end; the first
            is repeated where the stride asks for more steps.
        downscale: Rebuilds the image at this fraction of its size: 1 or a power of two.
        norm_cfg: Norm layers between the convolutions; a group norm gets as many of its groups as
            divide the channels.
        align_corners: Of the bilinear upsampling.
        loss_weight: The weight of this head's loss, InfoPro's lambda_1.
        image_range: As for :class:`ImageTarget`.
        init_cfg: As in mmengine.
    """

    loss_name = 'loss_rec'
    reads_image = True

    def __init__(
        self,
        in_channels: int | Sequence[int],
        stride: float,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        channels: int = 128,
        hidden_channels: Sequence[int] = (32, 12),
        downscale: int = 1,
        norm_cfg: OptConfigType = None,
        align_corners: bool = False,
        loss_weight: float = 1.0,
        image_range: ImageRange = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        if downscale < 1 or downscale & (downscale - 1):
            raise ValueError(f'downscale must be 1 or a power of two, got {downscale}')
        if not hidden_channels:
            raise ValueError('hidden_channels must name at least one width, got none')
        self.downscale = downscale
        self.align_corners = align_corners
        self.loss_weight = loss_weight
        num_steps = max(0, math.ceil(math.log2(stride / downscale)))
        self.reduce = ConvModule(
            total_channels(in_channels), channels, 1, norm_cfg=fitting_norm(norm_cfg, channels)
        )
        self.steps = nn.ModuleList()
        for out_channels in _hidden_widths(hidden_channels, num_steps):
            norm = fitting_norm(norm_cfg, out_channels)
            self.steps.append(ConvModule(channels, out_channels, 3, padding=1, norm_cfg=norm))
            channels = out_channels
        self.predict_image = nn.Conv2d(channels, len(image_mean), 3, padding=1)
        self.image = ImageTarget(image_mean, image_std, image_range)

    def forward(self, inputs: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the logits of the image, ``(B, channels, *size)``, from the border feature."""
        return self.predict_image(self._resize(self._decode(inputs), size=tuple(size)))

    def _decode(self, inputs: Sequence[Tensor]) -> Tensor:
        """Run all but the last step."""
        x = self.reduce(concatenate(inputs, self.align_corners))
        for step in self.steps:
            x = self._run_step(step, x)
        return x

    def _run_step(self, step: ConvModule, x: Tensor) -> Tensor:
        x = torch.cat(_by_sample(partial(self._upsample_and_convolve, step.conv), x))
        return step.activate(step.norm(x) if step.with_norm else x)

    def _upsample_and_convolve(self, conv: nn.Module, x: Tensor) -> Tensor:
        return conv(self._resize(x, scale_factor=2))

    def _resize(self, x: Tensor, **size: Any) -> Tensor:
        return resize(x, mode='bilinear', align_corners=self.align_corners, **size)

    def target(self, image: Tensor) -> Tensor:
        """Undo the data preprocessor's normalization and resize: the image in [0, 1]."""
        target = self.image(image)
        return (
            F.avg_pool2d(target, self.downscale, ceil_mode=True) if self.downscale > 1 else target
        )

    def loss(
        self, inputs: Sequence[Tensor], data_samples: SampleList, train_cfg: dict, image: Tensor
    ) -> dict[str, Tensor]:
        """Compare the reconstruction with the normalized ``image`` of shape ``(B, C, H, W)``."""
        self.image.observe(image)
        losses = _by_sample(self._sample_loss, self._decode(inputs), image)
        return {self.loss_name: self.loss_weight * torch.stack(losses).mean()}

    def _sample_loss(self, x: Tensor, image: Tensor) -> Tensor:
        target = self.target(image)
        logits = self.predict_image(self._resize(x, size=target.shape[2:]))
        return F.binary_cross_entropy_with_logits(logits.float(), target)

    def reconstruct(self, inputs: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Return the rebuilt image in [0, 1], in the channel order of the network's input."""
        return self(inputs, [math.ceil(length / self.downscale) for length in size]).sigmoid()


def fitting_norm(norm_cfg: OptConfigType, channels: int) -> OptConfigType:
    """Return a norm's configuration with no more groups than divide the channels."""
    if norm_cfg is None or 'num_groups' not in norm_cfg:
        return norm_cfg
    return {**norm_cfg, 'num_groups': math.gcd(norm_cfg['num_groups'], channels)}


def _hidden_widths(hidden_channels: Sequence[int], num_steps: int) -> list[int]:
    """Return the output channels of all upsampling steps but the last."""
    num_hidden = max(0, num_steps - 1)
    widths = [hidden_channels[0]] * num_hidden + list(hidden_channels)
    return widths[len(widths) - num_hidden :]


def _by_sample(run: Callable[..., Tensor], *batches: Tensor) -> list[Tensor]:
    """Call ``run`` on one sample after the other; the backward pass does so again.

    What a step upsamples is by far larger than what it begins and ends with. So none of it is kept,
    and that of one sample at a time is alive. A convolution is not even repeated, unless something
    after it in ``run`` needs its result: recomputing ends with the last tensor that is asked for.
    """
    return [
        checkpoint(run, *samples, use_reentrant=False, preserve_rng_state=False)
        for samples in zip(*(batch.split(1) for batch in batches), strict=True)
    ]
