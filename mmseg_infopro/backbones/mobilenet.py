"""MobileNetV2 and V3: the stem, then one unit per inverted residual block."""

from __future__ import annotations

from functools import partial

from mmseg.models.backbones import MobileNetV2, MobileNetV3
from mmseg.registry import MODELS
from torch import Tensor, nn

from .unrolled import Emit, Unit, UnrolledBackbone


def _layer(backbone: nn.Module, x: Tensor, path: str) -> Tensor:
    return backbone.get_submodule(path)(x)


def _unit(path: str, emits: bool = False, stage: int | None = None) -> Unit:
    return Unit(path, partial(_layer, path=path), (path,), (Emit(),) if emits else (), stage=stage)


def mobilenet_v2_units(self: MobileNetV2) -> tuple[Unit, ...]:
    """Return the units; boundaries are ``conv1`` and ``layer{stage}.{block}``."""
    units = [_unit('conv1', stage=0)]
    for stage, name in enumerate(self.layers):
        depth = len(getattr(self, name))
        for block in range(depth):
            ends_stage = block == depth - 1 and stage in self.out_indices
            units.append(_unit(f'{name}.{block}', ends_stage, stage + 1))
    return tuple(units)


def mobilenet_v3_units(self: MobileNetV3) -> tuple[Unit, ...]:
    """Return the units; boundaries are ``layer{index}``, the stem being ``layer0``."""
    return tuple(_unit(name, index in self.out_indices) for index, name in enumerate(self.layers))


@MODELS.register_module()
class InfoProMobileNetV2(UnrolledBackbone, MobileNetV2):
    """:class:`mmseg.models.backbones.MobileNetV2` that can be cut into local modules."""

    units = mobilenet_v2_units


@MODELS.register_module()
class InfoProMobileNetV3(UnrolledBackbone, MobileNetV3):
    """:class:`mmseg.models.backbones.MobileNetV3` that can be cut into local modules."""

    units = mobilenet_v3_units
