"""PredSim's local head: pixels of one class shall be alike, beside a linear classifier of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import OptMultiConfig, SampleList
from torch import Tensor, nn

from .border import concatenate, total_channels
from .linear_head import LinearHead
from .pixel_sampling import labels_at, sample_pixels

EPS = 1e-8
"""Added to squared lengths: where a feature is constant over its channels, it has no direction."""


@MODELS.register_module()
class SimilarityHead(BaseModule):
    """Matches the similarities of pixels with those of their labels, and classifies pixels.

    PredSim of https://arxiv.org/abs/1901.06656: ``(1 - beta) * CE + beta * MSE(S(conv3x3(h)),
    S(onehot y))``, S being the adjusted cosine similarities, ``S_ij = cos(x_i - mean(x_i), x_j -
    mean(x_j))`` with means over channels. CE is that of a :class:`LinearHead`. The paper compares
    the images of a batch of 128; here these are pixels, ``num_samples`` of the whole batch drawn as
    :class:`PixelContrastHead` draws them, and the convolution is computed at these only. Pairs with
    an ignored pixel do not count.

    Args:
        in_channels: Channels of the border feature, or of each of its features.
        num_classes: Number of classes in the labels.
        channels: Of the 3x3 convolution; None is the paper's, as many as the border feature has.
        beta: Share of the similarities in the loss, from 0 to 1.
        num_samples: Pixels drawn from the whole batch.
        ignore_index: Label of pixels to leave out.
        align_corners: Of all resizing.
        loss_weight: The weight of this head's losses.
        init_cfg: As in mmengine.
    """

    loss_name = 'loss_sim'

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_classes: int,
        channels: int | None = None,
        beta: float = 0.99,
        num_samples: int = 1024,
        ignore_index: int = 255,
        align_corners: bool = False,
        loss_weight: float = 1.0,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 <= beta <= 1:
            raise ValueError(f'beta must be from 0 to 1, got {beta}')
        if num_samples < 2:
            raise ValueError(f'num_samples must be at least 2, got {num_samples}')
        if num_classes < 2:
            raise ValueError(f'num_classes must be at least 2, got {num_classes}')
        self.num_classes = num_classes
        self.num_samples = num_samples
        self.beta = beta
        self.ignore_index = ignore_index
        self.align_corners = align_corners
        self.loss_weight = loss_weight
        in_channels = total_channels(in_channels)
        self.project = nn.Conv2d(in_channels, channels or in_channels, 3, bias=False)
        self.classify = LinearHead(
            in_channels,
            num_classes=num_classes,
            in_index=0,
            ignore_index=ignore_index,
            align_corners=align_corners,
            loss_decode=dict(type='CrossEntropyLoss', loss_weight=(1 - beta) * loss_weight),
        )

    def loss(
        self, inputs: Sequence[Tensor], data_samples: SampleList, train_cfg: dict
    ) -> dict[str, Tensor]:
        """Return ``loss_sim`` of sampled pixels, and ``loss_ce`` and ``acc_seg`` of all."""
        x = concatenate(inputs, self.align_corners)
        labels = labels_at(x.shape[2:], data_samples).flatten()
        sampled = sample_pixels(labels, self.num_samples, self.num_classes, self.ignore_index)
        projected = self.project(neighbourhoods(x, sampled)).flatten(1)
        # In half precision the sums over many channels would overflow.
        with torch.autocast(x.device.type, enabled=False):
            loss = similarity_loss(
                projected.float(), labels[sampled], self.num_classes, self.ignore_index
            )
        losses = self.classify.loss([x], data_samples, train_cfg)
        return {self.loss_name: self.loss_weight * self.beta * loss, **losses}


def neighbourhoods(x: Tensor, pixels: Tensor) -> Tensor:
    """Return what a 3x3 convolution with padding reads around some pixels, ``(N, C, 3, 3)``.

    Args:
        x: ``(B, C, H, W)``.
        pixels: Their numbers ``(N,)`` within ``(B, H, W)``.
    """
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    near = torch.arange(3, device=x.device)
    sample = (pixels // (height * width)).view(-1, 1, 1)
    row = (pixels // width % height).view(-1, 1, 1) + near.view(3, 1)
    column = (pixels % width).view(-1, 1, 1) + near
    return padded[sample, row, column].permute(0, 3, 1, 2)


def similarities(vectors: Tensor) -> Tensor:
    """Return the adjusted cosine similarities ``(N, N)`` of vectors ``(N, D)``."""
    centred = vectors - vectors.mean(dim=1, keepdim=True)
    directions = centred * (centred.square().sum(dim=1, keepdim=True) + EPS).rsqrt()
    return directions @ directions.T


def similarity_loss(vectors: Tensor, labels: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Mean over the pairs of valid pixels of the squared difference of similarities.

    Args:
        vectors: ``(N, D)``.
        labels: ``(N,)``.
        num_classes: Length of their one-hot vectors.
        ignore_index: Label of pixels that are not valid.
    """
    one_hot = (labels[:, None] == torch.arange(num_classes, device=labels.device)).to(vectors.dtype)
    valid = labels != ignore_index
    pairs = valid[:, None] & valid[None, :]
    error = torch.where(pairs, similarities(vectors) - similarities(one_hot), 0.0)
    return error.square().sum() / pairs.sum().clamp(min=1)
