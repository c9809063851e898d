"""DDRNet: a spatial branch beside a context branch, which exchange what they know twice."""

from __future__ import annotations

from functools import partial

from mmseg.models.backbones import DDRNet, PIDNet
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .branches import Branches, branch_border, emits_of, run_layers
from .unrolled import Unit, UnrolledBackbone


def _stem(backbone: nn.Module, state: Tensor | Branches, paths: tuple[str, ...]) -> Branches:
    if isinstance(state, Tensor):
        size = state.shape[-2] // 8, state.shape[-1] // 8
        state = dict(size=size, stem=state)
    return {**state, 'stem': run_layers(backbone, state['stem'], paths)}


def stem_units(self: DDRNet | PIDNet) -> list[Unit]:
    """Return the units of a stem, ``stem.{layer}`` and ``stem.{layer}.{block}``.

    An activation function, which stands behind a layer, belongs to the layer's last block.
    """
    runs: list[list[str]] = []
    for index, layer in enumerate(self.stem):
        path = f'stem.{index}'
        if isinstance(layer, nn.Sequential):
            runs += [[f'{path}.{block}'] for block in range(len(layer))]
        elif next(layer.parameters(), None) is not None:
            runs.append([path])
        else:
            runs[-1].append(path)
    return [Unit(paths[0], partial(_stem, paths=tuple(paths)), (paths[0],)) for paths in runs]


def _branch(backbone: nn.Module, state: Branches, branch: str, paths: tuple[str, ...]) -> Branches:
    x = state[branch] if branch in state else state['stem']
    return {**state, branch: run_layers(backbone, x, paths)}


def branch_units(
    self: DDRNet | PIDNet, branch: str, path: str, before: str = '', after: str = ''
) -> list[Unit]:
    """Return the units of a branch's layer: its blocks.

    Args:
        self: The backbone.
        branch: Name of the branch in the state; one that is not there starts at the stem.
        path: Of the layer.
        before: Path of the activation function before the first block, if any.
        after: Path of that after the last block, if any.
    """
    layer = self.get_submodule(path)
    blocks = [path]
    if isinstance(layer, nn.Sequential):
        blocks = [f'{path}.{block}' for block in range(len(layer))]
    runs = [[block] for block in blocks]
    runs[0][:0] = [before] if before else []
    runs[-1] += [after] if after else []
    return [
        Unit(block, partial(_branch, branch=branch, paths=tuple(paths)), (block,))
        for block, paths in zip(blocks, runs, strict=True)
    ]


def upsample(backbone: DDRNet | PIDNet, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a feature map to the size of the finest branch."""
    return resize(x, size=size, mode='bilinear', align_corners=backbone.align_corners)


def _exchange(backbone: DDRNet, state: Branches, number: int) -> Branches:
    compress = backbone.get_submodule(f'compression_{number}')
    down = backbone.get_submodule(f'down_{number}')
    size, spatial, context = state['size'], state['spatial'], state['context']
    compressed = compress(backbone.relu(context))
    context = context + down(backbone.relu(spatial))
    spatial = spatial + upsample(backbone, compressed, size)
    return dict(size=size, spatial=spatial, context=context)


def _pool_pyramid(backbone: DDRNet, state: Branches) -> Branches:
    context = upsample(backbone, backbone.spp(state['context']), state['size'])
    return dict(fused=state['spatial'] + context)


def ddrnet_units(self: DDRNet) -> tuple[Unit, ...]:
    """Return the units; in training the first exchange emits a feature too, for its own head.

    Boundaries are ``stem.{layer}``, ``stem.{layer}.{block}``,
    ``spatial_branch_layers.{stage}.{block}``, ``context_branch_layers.{stage}.{block}``, and
    ``exchange_1`` and ``exchange_2`` behind the first and the second stage.
    """
    units = stem_units(self)
    features = ('exchange_1', 'spp') if self.training else ('spp',)
    for stage in range(3):
        before = 'relu' if stage else ''
        for branch in ('spatial', 'context'):
            units += branch_units(self, branch, f'{branch}_branch_layers.{stage}', before)
        if stage < 2:
            name, number = f'exchange_{stage + 1}', stage + 1
            owns = (f'compression_{number}', f'down_{number}')
            apply = partial(_exchange, number=number)
            units.append(Unit(name, apply, owns, emits_of(features, name, 'spatial')))
    return (*units, Unit('spp', _pool_pyramid, ('spp',), emits_of(features, 'spp', 'fused')))


@MODELS.register_module()
class InfoProDDRNet(UnrolledBackbone, DDRNet):
    """:class:`mmseg.models.backbones.DDRNet` that can be cut into local modules."""

    units = ddrnet_units
    border_features = branch_border
