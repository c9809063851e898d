"""BiSeNet, V1 and V2: a path for context beside one for detail, and what fuses them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from mmseg.models.backbones import BiSeNetV1, BiSeNetV2
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .branches import Branches, branch_border, emits_of
from .nested import nested_border, nested_units
from .unrolled import Unit, UnrolledBackbone

V1_FEATURES = ('ffm', 'arm16', 'arm32')
"""Units that the features come from, as ``out_indices`` count them."""


def _context(backbone: BiSeNetV1, state: Tensor | Branches, unit: Unit, first: int) -> Branches:
    """Run a unit of the context path's backbone; keep its features, the first one unread."""
    if isinstance(state, Tensor):
        state = dict(image=state, stages=[], backbone=state)
    net = backbone.context_path.backbone
    x = unit.apply(net, state['backbone'])
    stages = [emit.apply(net, x) for index, emit in enumerate(unit.emits, first) if index > 0]
    return dict(image=state['image'], stages=[*state['stages'], *stages], backbone=x)


def _refine_deepest(backbone: BiSeNetV1, state: Branches) -> Branches:
    path, (eighth, sixteenth, deepest) = backbone.context_path, state['stages']
    refined = path.arm32(deepest) + path.gap_conv(deepest)
    refined = resize(refined, size=sixteenth.shape[2:], mode='nearest')
    stages = [eighth, sixteenth]
    return dict(image=state['image'], stages=stages, context=path.conv_head32(refined))


def _refine(backbone: BiSeNetV1, state: Branches) -> Branches:
    path, (eighth, sixteenth) = backbone.context_path, state['stages']
    refined = path.arm16(sixteenth) + state['context']
    refined = resize(refined, size=eighth.shape[2:], mode='nearest')
    return dict(image=state['image'], context=path.conv_head16(refined))


def _spatial(backbone: BiSeNetV1, state: Branches, path: str) -> Branches:
    x = state['image'] if 'image' in state else state['spatial']
    return dict(context=state['context'], spatial=backbone.get_submodule(path)(x))


def _fuse(backbone: BiSeNetV1, state: Branches) -> Branches:
    return dict(fused=backbone.ffm(state['spatial'], state['context']))


def _context_units(self: BiSeNetV1) -> Iterator[Unit]:
    """Yield the units of the context path's backbone, of which the context path is made."""
    path, num_features = 'context_path.backbone', 0
    for unit in nested_units(self.context_path.backbone):
        owns = (*unit.owns, *(own for emit in unit.emits for own in emit.owns))
        apply = partial(_context, unit=unit, first=num_features)
        yield Unit(f'{path}.{unit.name}', apply, tuple(f'{path}.{own}' for own in owns))
        num_features += len(unit.emits)


def bisenet_v1_units(self: BiSeNetV1) -> tuple[Unit, ...]:
    """Return the units: the context path's, then the spatial path's, then ``ffm``.

    Boundaries are ``context_path.backbone.{unit}``, with the units of that backbone,
    ``context_path.arm32``, ``context_path.arm16`` and ``spatial_path.layer{layer}``.

    Raises:
        TypeError: The context path's backbone cannot be cut.
    """
    units = list(_context_units(self))
    features = [V1_FEATURES[index] for index in self.out_indices]
    for name, refine, parts in (
        ('arm32', _refine_deepest, ('arm32', 'conv_head32', 'gap_conv')),
        ('arm16', _refine, ('arm16', 'conv_head16')),
    ):
        owns = tuple(f'context_path.{part}' for part in parts)
        emits = emits_of(features, name, 'context')
        units.append(Unit(f'context_path.{name}', refine, owns, emits))
    for name in self.spatial_path.layers:
        path = f'spatial_path.{name}'
        units.append(Unit(path, partial(_spatial, path=path), (path,)))
    return (*units, Unit('ffm', _fuse, ('ffm',), emits_of(features, 'ffm', 'fused')))


def bisenet_v1_border(self: BiSeNetV1, state: Branches) -> list[Tensor]:
    """Return the context path's last output, and the spatial path's."""
    if 'backbone' in state:
        return nested_border(self.context_path.backbone, state['backbone'])
    return [state[name] for name in ('context', 'spatial', 'fused') if name in state]


def _detail(backbone: nn.Module, state: Tensor | Branches, path: str) -> Branches:
    if isinstance(state, Tensor):
        state = dict(image=state, detail=state)
    return {**state, 'detail': backbone.get_submodule(path)(state['detail'])}


def _semantic(backbone: nn.Module, state: Branches, path: str) -> Branches:
    x = state['image'] if 'image' in state else state['semantic']
    return dict(detail=state['detail'], semantic=backbone.get_submodule(path)(x))


def _aggregate(backbone: BiSeNetV2, state: Branches) -> Branches:
    return dict(fused=backbone.bga(state['detail'], state['semantic']))


def bisenet_v2_units(self: BiSeNetV2) -> tuple[Unit, ...]:
    """Return the units: the detail branch's, then the semantic branch's, then ``bga``.

    Boundaries are ``detail.detail_branch.{stage}``, ``semantic.stage1``,
    ``semantic.stage{stage}.{block}`` and ``semantic.stage4_CEBlock``. Each semantic stage emits
    its feature.
    """
    units = []
    for stage in range(len(self.detail.detail_branch)):
        path = f'detail.detail_branch.{stage}'
        units.append(Unit(path, partial(_detail, path=path), (path,)))
    names = ('bga', *self.semantic.semantic_stages[:-1])
    features = [names[index] for index in self.out_indices]
    for name in self.semantic.semantic_stages:
        stage_path, layer = f'semantic.{name}', getattr(self.semantic, name)
        paths = [stage_path]
        if isinstance(layer, nn.Sequential):
            paths = [f'{stage_path}.{block}' for block in range(len(layer))]
        for path in paths:
            emits = emits_of(features, name, 'semantic') if path == paths[-1] else ()
            units.append(Unit(path, partial(_semantic, path=path), (path,), emits))
    return (*units, Unit('bga', _aggregate, ('bga',), emits_of(features, 'bga', 'fused')))


@MODELS.register_module()
class InfoProBiSeNetV1(UnrolledBackbone, BiSeNetV1):
    """:class:`mmseg.models.backbones.BiSeNetV1` that can be cut into local modules."""

    units = bisenet_v1_units
    border_features = bisenet_v1_border


@MODELS.register_module()
class InfoProBiSeNetV2(UnrolledBackbone, BiSeNetV2):
    """:class:`mmseg.models.backbones.BiSeNetV2` that can be cut into local modules."""

    units = bisenet_v2_units
    border_features = branch_border
