"""The shapes that a backbone makes, found on fake tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..measure.fake import UpperBounds, as_fake
from ..measure.flops import FlopCounter
from ..upstream import tree_leaves, tree_map, tree_map_only
from .unrolled import Feature, UnrolledBackbone, numbered_emits, owned_parameters

FeatureSize = torch.Size | list[torch.Size]
"""Shape of a feature, or those of the tensors in its list."""

BATCH_SIZE = 2
"""Of traced images: norm layers on pooled features refuse a single one in training."""


@dataclass(frozen=True)
class FeatureShape:
    """Channels of a feature map and its stride: image pixels per feature pixel."""

    channels: int
    stride: float


@dataclass(frozen=True)
class BackboneTrace:
    """What flows where in training.

    Attributes:
        borders: Shapes of the border features after each unit, by the unit's name.
        features: Shapes of the ``out_indices`` features.
        samples: The same features as shapes ``(B, C, H, W)``, of images of ``example_size``.
        flops: Of the forward pass of each unit, on :data:`BATCH_SIZE` images of ``example_size``.
        states: What passes between units, as nests of sizes ``(B, C, H, W)`` or ``(B, N, C)`` and
            of plain values, by the name of the unit before; ``''`` is the image.
    """

    borders: dict[str, tuple[FeatureShape, ...]]
    features: tuple[FeatureShape, ...]
    samples: tuple[FeatureSize, ...]
    flops: dict[str, int]
    states: dict[str, Any]


def trace_backbone(backbone: UnrolledBackbone, in_channels: int = 3) -> BackboneTrace:
    """Run the units once, in training mode, on fake images.

    Args:
        backbone: Is not touched, unless it is a throw-away one on fake tensors.
        in_channels: Of an image.
    """
    fake_backbone, mode = as_fake(backbone)
    fake_backbone.train()  # not chained: mmseg's ResNet.train returns None
    borders: dict[str, tuple[FeatureShape, ...]] = {}
    found: dict[int, Feature] = {}
    flops: dict[str, int] = {}
    height, width = backbone.example_size()
    with mode, torch.no_grad(), UpperBounds():
        state = torch.empty(BATCH_SIZE, in_channels, height, width)
        states: dict[str, Any] = {'': state.shape}
        units = fake_backbone.units()
        for unit, emits in zip(units, numbered_emits(units), strict=True):
            with FlopCounter() as counter:
                state = unit.apply(fake_backbone, state)
            flops[unit.name] = counter.flops
            states[unit.name] = tree_map_only(Tensor, lambda tensor: tensor.shape, state)
            border = fake_backbone.border_features(state)
            borders[unit.name] = tuple(_shape(feature, width) for feature in border)
            found |= {index: emit.apply(fake_backbone, state) for index, emit in emits}
    features = [found[index] for index in sorted(found)]
    return BackboneTrace(
        borders,
        tuple(_shape(tree_leaves(feature)[0], width) for feature in features),
        tuple(tree_map(lambda tensor: tensor.shape, feature) for feature in features),
        flops,
        states,
    )


def _shape(feature: Tensor, image_width: int) -> FeatureShape:
    return FeatureShape(feature.shape[1], image_width / feature.shape[-1])


def flops_per_pixel(backbone: UnrolledBackbone, trace: BackboneTrace) -> float:
    """Return the FLOPs per image pixel of a training step, in forward passes.

    A backward pass costs twice a forward pass, so that what is frozen, which has none, counts a
    third.
    """
    total = 0.0
    for unit in backbone.units():
        parameters = owned_parameters(backbone, unit.owns).values()
        trains = any(parameter.requires_grad for parameter in parameters)
        total += trace.flops[unit.name] * (1 if trains else 1 / 3)
    batch_size, _, height, width = trace.states['']
    return total / (batch_size * height * width)
