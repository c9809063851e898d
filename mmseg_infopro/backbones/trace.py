"""The shapes that a backbone makes, found on fake tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ..memory import fake_copy
from .unrolled import UnrolledBackbone

IMAGE_SIZE = 256
"""Height and width of the traced image, in pixels: a multiple of every usual stride."""


@dataclass(frozen=True)
class FeatureShape:
    """Channels of a feature map and its stride: image pixels per feature pixel."""

    channels: int
    stride: float


@dataclass(frozen=True)
class BackboneTrace:
    """What flows where: the border features after each unit, and the ``out_indices`` features."""

    borders: dict[str, tuple[FeatureShape, ...]]
    features: tuple[FeatureShape, ...]


def trace_backbone(backbone: UnrolledBackbone, in_channels: int = 3) -> BackboneTrace:
    """Run the units once, in eval mode, on a fake image; the backbone is not touched."""
    mode = FakeTensorMode()
    fake_backbone = fake_copy(backbone, mode)
    fake_backbone.eval()  # not chained: mmseg's ResNet.train returns None
    borders: dict[str, tuple[FeatureShape, ...]] = {}
    features: list[FeatureShape] = []
    with mode, torch.no_grad():
        state = torch.empty(1, in_channels, IMAGE_SIZE, IMAGE_SIZE)
        for unit in fake_backbone.units():
            state = unit.apply(fake_backbone, state)
            borders[unit.name] = tuple(map(_shape, fake_backbone.border_features(state)))
            features += [_shape(emit.apply(fake_backbone, state)) for emit in unit.emits]
    return BackboneTrace(borders, tuple(features))


def _shape(feature: Tensor) -> FeatureShape:
    return FeatureShape(feature.shape[1], IMAGE_SIZE / feature.shape[-1])
