"""UNet: the state is a list of the skips that the decoder has yet to read and the last feature."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mmseg.models.backbones import UNet
from mmseg.registry import MODELS
from torch import Tensor

from ..upstream import check_divisible
from .unrolled import Emit, Unit, UnrolledBackbone


def _first_encoder(backbone: UNet, image: Tensor) -> list[Tensor]:
    check_divisible(backbone, image)
    return [backbone.encoder[0](image)]


def _encoder(backbone: UNet, state: list[Tensor], index: int) -> list[Tensor]:
    return [*state, backbone.encoder[index](state[-1])]


def _decoder(backbone: UNet, state: list[Tensor], index: int) -> list[Tensor]:
    *skips, skip, x = state
    return [*skips, backbone.decoder[index](skip, x)]


def _last(backbone: UNet, state: list[Tensor]) -> Tensor:
    return state[-1]


def unet_units(self: UNet) -> tuple[Unit, ...]:
    """Return the units, ``encoder.{stage}`` downwards and ``decoder.{stage}`` upwards.

    The last encoder and each decoder emit a feature. Skips cross a border detached: a module of
    the encoder learns from its own heads only.
    """
    units = [Unit('encoder.0', _first_encoder, ('encoder.0',), stage=0)]
    for index in range(1, len(self.encoder)):
        path = f'encoder.{index}'
        units.append(Unit(path, partial(_encoder, index=index), (path,), stage=index))
    units[-1] = replace(units[-1], emits=(Emit(_last),))
    for index in reversed(range(len(self.decoder))):
        path = f'decoder.{index}'
        units.append(Unit(path, partial(_decoder, index=index), (path,), (Emit(_last),)))
    return tuple(units)


def unet_border(self: UNet, state: list[Tensor]) -> list[Tensor]:
    """Return the last feature: the skips were made by earlier units."""
    return state[-1:]


@MODELS.register_module()
class InfoProUNet(UnrolledBackbone, UNet):
    """:class:`mmseg.models.backbones.UNet` that can be cut into local modules."""

    units = unet_units
    border_features = unet_border
