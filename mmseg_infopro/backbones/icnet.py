"""ICNet: a deep path over an image of half the size; the light path trains with the decoder."""

from __future__ import annotations

from functools import partial

import torch
from mmseg.models.backbones import ICNet
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor

from .unrolled import Emit, Unit, UnrolledBackbone


def _half(backbone: ICNet, x: Tensor) -> Tensor:
    return resize(x, scale_factor=0.5, mode='bilinear', align_corners=backbone.align_corners)


def _stem(backbone: ICNet, image: Tensor) -> list[Tensor]:
    net = backbone.backbone
    return [image, net.maxpool(net.stem(_half(backbone, image)))]


def _block(backbone: ICNet, state: list[Tensor], path: str, halves: bool) -> list[Tensor]:
    x = _half(backbone, state[-1]) if halves else state[-1]
    return [backbone.get_submodule(path)(x)]


def _pool_pyramid(backbone: ICNet, state: list[Tensor]) -> list[Tensor]:
    pooled = torch.cat([*backbone.psp_modules(state[-1]), state[-1]], dim=1)
    return [backbone.psp_bottleneck(pooled)]


def _light_path(backbone: ICNet, state: list[Tensor]) -> Tensor:
    return backbone.conv_sub1(state[0])


def _projection(backbone: ICNet, state: list[Tensor], path: str) -> Tensor:
    return backbone.get_submodule(path)(state[-1])


def _project(path: str) -> tuple[Emit, ...]:
    return (Emit(partial(_projection, path=path), (path,)),)


def icnet_units(self: ICNet) -> tuple[Unit, ...]:
    """Return the units of the deep path.

    Boundaries are ``backbone.stem`` and ``backbone.layer{stage}.{block}``. The light path, which
    starts from the image, and the projections of the deep path's stages are emits: they train in
    the tail, with the neck that fuses them.
    """
    light = Emit(_light_path, ('conv_sub1',))
    units = [Unit('backbone.stem', _stem, ('backbone.stem',), (light,))]
    for stage in (1, 2, 3, 4):
        depth = len(getattr(self.backbone, f'layer{stage}'))
        for block in range(depth):
            path = f'backbone.layer{stage}.{block}'
            apply = partial(_block, path=path, halves=stage == 3 and block == 0)
            emits = _project('conv_sub2') if stage == 2 and block == depth - 1 else ()
            units.append(Unit(path, apply, (path,), emits))
    owns = ('psp_modules', 'psp_bottleneck')
    return (*units, Unit('psp_bottleneck', _pool_pyramid, owns, _project('conv_sub4')))


def icnet_border(self: ICNet, state: list[Tensor]) -> list[Tensor]:
    """Return the deep path's last output: before it may come the image."""
    return state[-1:]


@MODELS.register_module()
class InfoProICNet(UnrolledBackbone, ICNet):
    """:class:`mmseg.models.backbones.ICNet` that can be cut into local modules."""

    units = icnet_units
    border_features = icnet_border
