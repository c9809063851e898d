"""What stands at a border: its features and where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmseg.models.utils import resize
from torch import Tensor

from ..backbones import (
    BackboneTrace,
    FeatureShape,
    Unit,
    UnrolledBackbone,
    flops_per_pixel,
)


@dataclass(frozen=True)
class Border:
    """What a local head may know when it is built; a head gets it by naming ``border``.

    Attributes:
        boundary: The unit after which the module ends.
        shapes: Of the features that the border offers.
        entry: Of those that the module starts from: the border before, or the image.
        backbone: Read only; a head must not keep it, or a copy of the head would copy it.
        later: The units after the border, at least one.
        trace: Of the backbone: what flows there and further on.
        flops_per_pixel: Of the backbone, see :func:`~..backbones.flops_per_pixel`.
        index: Number of the module; None while partitions are planned.
        position: Between the first (0) and the last (1) local module.
    """

    boundary: str
    shapes: tuple[FeatureShape, ...]
    entry: tuple[FeatureShape, ...]
    backbone: UnrolledBackbone
    later: tuple[Unit, ...]
    trace: BackboneTrace
    flops_per_pixel: float
    index: int | None = None
    position: float = 0.0


def borders_of(
    backbone: UnrolledBackbone,
    trace: BackboneTrace,
    boundaries: Sequence[str],
    image_channels: int,
    planned: bool = True,
) -> list[Border]:
    """Return the borders at some boundaries, in order.

    Args:
        backbone: Which they are of.
        trace: Of it.
        boundaries: Names of units.
        image_channels: Of the image, which the first module starts from.
        planned: Whether these are the boundaries of a model, and not all that it could have.
    """
    units = backbone.units()
    names = [unit.name for unit in units]
    per_pixel = flops_per_pixel(backbone, trace)
    found: list[Border] = []
    entry: tuple[FeatureShape, ...] = (FeatureShape(image_channels, 1.0),)
    for index, boundary in enumerate(boundaries):
        found.append(
            Border(
                boundary,
                trace.borders[boundary],
                entry,
                backbone,
                tuple(units[names.index(boundary) + 1 :]),
                trace,
                per_pixel,
                index if planned else None,
                index / max(1, len(boundaries) - 1) if planned else 0.0,
            )
        )
        entry = trace.borders[boundary]
    return found


def concatenate(features: Sequence[Tensor], align_corners: bool = False) -> Tensor:
    """Resize feature maps ``(B, C_i, H_i, W_i)`` to the first one's size; stack their channels.

    A network with branches passes on one map per branch; a head that read only one of them would
    leave the others without a gradient.
    """
    first, *others = features
    if not others:
        return first
    size = first.shape[2:]
    resized = [resize(x, size=size, mode='bilinear', align_corners=align_corners) for x in others]
    return torch.cat([first, *resized], dim=1)


def total_channels(in_channels: int | Sequence[int]) -> int:
    """Return the channels of :func:`concatenate`'s result."""
    return in_channels if isinstance(in_channels, int) else sum(in_channels)
