"""What joins the state before a unit to one of another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.utils import resize
from mmseg.utils import OptConfigType
from torch import Tensor, nn

from ..backbones import FeatureShape, State
from ..upstream import tree_flatten, tree_unflatten
from .border import concatenate
from .reconstruction_head import fitting_norm


class Joint(nn.Module):
    """Turns feature maps into the state that a unit takes.

    A map is pooled to the size of the target's, then projected to its channels by a 1x1 convolution
    and a norm; tokens are made by a linear layer. Where stride and channels are the same already
    there is no layer. Several maps are stacked first, and each map of a state with branches has a
    projection of its own.

    Args:
        sources: Shapes of the maps.
        target: The state, a nest of sizes as in :class:`BackboneTrace`.
        image_width: Of the image that it is traced on.
        norm_cfg: Norm layer behind convolutions; a group norm gets as many of its groups as divide
            the channels; None leaves it out.

    Raises:
        ValueError: The state is of neither maps nor a map's tokens.
    """

    def __init__(
        self,
        sources: Sequence[FeatureShape],
        target: Any,
        image_width: int,
        norm_cfg: OptConfigType = None,
    ) -> None:
        super().__init__()
        self.target = target
        sizes, self.makes_tokens = _maps_of(target)
        source = FeatureShape(sum(shape.channels for shape in sources), sources[0].stride)
        self.ratios = [image_width / size[-1] / source.stride for size in sizes]
        self.projections = nn.ModuleList(
            nn.Identity()
            if ratio == 1 and source.channels == size[1]
            else self._projection(source.channels, size[1], norm_cfg)
            for size, ratio in zip(sizes, self.ratios, strict=True)
        )

    def _projection(self, source: int, target: int, norm_cfg: OptConfigType) -> nn.Module:
        if self.makes_tokens:
            return nn.Linear(source, target)
        return ConvModule(source, target, 1, norm_cfg=fitting_norm(norm_cfg, target), act_cfg=None)

    def forward(self, maps: Sequence[Tensor]) -> State:
        """Return the state for maps ``(B, C_i, H_i, W_i)``."""
        x = concatenate(maps)
        made = [
            self._project(_resized(x, ratio), projection)
            for ratio, projection in zip(self.ratios, self.projections, strict=True)
        ]
        if self.makes_tokens:
            return made[0]
        _, structure = tree_flatten(self.target, is_leaf=is_size)
        return tree_unflatten(made, structure)

    def _project(self, x: Tensor, projection: nn.Module) -> State:
        if self.makes_tokens:
            return projection(x.flatten(2).transpose(1, 2)), tuple(x.shape[2:])
        return projection(x)


def is_size(item: Any) -> bool:
    """Whether a part of a traced state stands for a tensor."""
    return isinstance(item, torch.Size)


def _maps_of(target: Any) -> tuple[list[torch.Size], bool]:
    """Return the sizes of a state's maps, and whether it is the tokens of one."""
    if isinstance(target, tuple) and len(target) == 2 and is_size(target[0]):
        (batch, number, channels), (height, width) = target
        if number == height * width:
            return [torch.Size((batch, channels, height, width))], True
    sizes, _ = tree_flatten(target, is_leaf=is_size)
    if all(is_size(size) and len(size) == 4 for size in sizes):
        return sizes, False
    raise ValueError(f'neither maps nor the tokens of one map can be joined to a state {target!r}')


def _resized(x: Tensor, ratio: float) -> Tensor:
    """Return maps with ``ratio`` times as many image pixels per pixel, in height and in width."""
    if ratio == 1:
        return x
    height, width = (math.ceil(length / ratio) for length in x.shape[2:])
    if ratio > 1:
        return F.adaptive_avg_pool2d(x, (height, width))
    return resize(x, size=(height, width), mode='bilinear', align_corners=False)
