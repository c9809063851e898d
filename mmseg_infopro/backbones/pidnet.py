"""PIDNet: branches for detail (P), context (I) and boundaries (D), which I informs twice."""

from __future__ import annotations

from functools import partial

from mmseg.models.backbones import PIDNet
from mmseg.registry import MODELS

from .branches import Branches, branch_border, emits_of
from .ddrnet import branch_units, stem_units, upsample
from .unrolled import Unit, UnrolledBackbone


def _exchange(backbone: PIDNet, state: Branches, number: int) -> Branches:
    compress, attend, differ = (
        backbone.get_submodule(f'{name}_{number}') for name in ('compression', 'pag', 'diff')
    )
    size, p, i, d = (state[name] for name in ('size', 'p', 'i', 'd'))
    p = attend(p, compress(i))
    d = d + upsample(backbone, differ(i), size)
    return dict(size=size, p=p, i=i, d=d)


def _pool_pyramid(backbone: PIDNet, state: Branches) -> Branches:
    return {**state, 'i': upsample(backbone, backbone.spp(state['i']), state['size'])}


def _fuse(backbone: PIDNet, state: Branches) -> Branches:
    return dict(fused=backbone.dfm(state['p'], state['i'], state['d']))


def pidnet_units(self: PIDNet) -> tuple[Unit, ...]:
    """Return the units; in training the exchanges emit features too, for heads of their own.

    Boundaries are ``stem.{layer}``, ``stem.{layer}.{block}``,
    ``{p, i, d}_branch_layers.{stage}.{block}``, ``exchange_1`` and ``exchange_2`` behind the first
    and the second stage, and ``spp``.
    """
    units = stem_units(self)
    features = ('exchange_1', 'dfm', 'exchange_2') if self.training else ('dfm',)
    for stage in range(3):
        relu = 'relu' if stage else ''
        units += branch_units(self, 'p', f'p_branch_layers.{stage}', before=relu)
        after = 'relu' if stage < 2 else ''
        units += branch_units(self, 'i', f'i_branch_layers.{stage}', after=after)
        units += branch_units(self, 'd', f'd_branch_layers.{stage}', before=relu)
        if stage < 2:
            name, number = f'exchange_{stage + 1}', stage + 1
            owns = tuple(f'{part}_{number}' for part in ('compression', 'pag', 'diff'))
            emits = emits_of(features, name, 'p' if stage == 0 else 'd')
            units.append(Unit(name, partial(_exchange, number=number), owns, emits))
    units.append(Unit('spp', _pool_pyramid, ('spp',)))
    return (*units, Unit('dfm', _fuse, ('dfm',), emits_of(features, 'dfm', 'fused')))


@MODELS.register_module()
class InfoProPIDNet(UnrolledBackbone, PIDNet):
    """:class:`mmseg.models.backbones.PIDNet` that can be cut into local modules."""

    units = pidnet_units
    border_features = branch_border
