"""ERFNet: one unit per block of the encoder and of the decoder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mmseg.models.backbones import ERFNet
from mmseg.registry import MODELS
from torch import Tensor, nn

from .unrolled import Emit, Unit, UnrolledBackbone


def _block(backbone: nn.Module, x: Tensor, path: str) -> Tensor:
    return backbone.get_submodule(path)(x)


def erfnet_units(self: ERFNet) -> tuple[Unit, ...]:
    """Return the units, ``encoder.{block}`` and ``decoder.{block}``; the last emits the feature."""
    parts = (('encoder', self.encoder), ('decoder', self.decoder))
    paths = [f'{part}.{block}' for part, blocks in parts for block in range(len(blocks))]
    units = [Unit(path, partial(_block, path=path), (path,)) for path in paths]
    units[-1] = replace(units[-1], emits=(Emit(),))
    return tuple(units)


@MODELS.register_module()
class InfoProERFNet(UnrolledBackbone, ERFNet):
    """:class:`mmseg.models.backbones.ERFNet` that can be cut into local modules."""

    units = erfnet_units
