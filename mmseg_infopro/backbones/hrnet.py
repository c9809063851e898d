"""HRNet: the state is a list of branches, from the finest resolution to the coarsest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from mmseg.models.backbones import HRNet
from mmseg.registry import MODELS
from torch import Tensor, nn

from .unrolled import Emit, Unit, UnrolledBackbone

Branches = list[Tensor]


def _stem(backbone: HRNet, image: Tensor) -> Branches:
    x = backbone.relu(backbone.norm1(backbone.conv1(image)))
    return [backbone.relu(backbone.norm2(backbone.conv2(x)))]


def _block(backbone: nn.Module, branches: Branches, path: str) -> Branches:
    return [backbone.get_submodule(path)(branches[0])]


def _transition(backbone: nn.Module, branches: Branches, path: str) -> Branches:
    """Add a branch, made of the coarsest one."""
    layers: Any = backbone.get_submodule(path)  # a ModuleList with None where a branch stays
    return [
        branches[index] if layer is None else layer(branches[-1])
        for index, layer in enumerate(layers)
    ]


def _exchange(backbone: nn.Module, branches: Branches, path: str) -> Branches:
    # It writes into the list that it is given.
    return backbone.get_submodule(path)(list(branches))


def _branch(backbone: nn.Module, branches: Branches, index: int) -> Tensor:
    return branches[index]


def hrnet_units(self: HRNet) -> tuple[Unit, ...]:
    """Return the units; the last one emits one feature per branch.

    Boundaries are ``stem``, ``layer1.{block}``, ``transition{stage}`` and
    ``stage{stage}.{module}``.
    """
    stem = ('conv1', self.norm1_name, 'conv2', self.norm2_name)
    units = [Unit('stem', _stem, stem, stage=0)]
    for block in range(len(self.layer1)):
        path = f'layer1.{block}'
        units.append(Unit(path, partial(_block, path=path), (path,), stage=1))
    for stage in (2, 3, 4):
        path = f'transition{stage - 1}'
        units.append(Unit(path, partial(_transition, path=path), (path,), stage=stage))
        for module in range(len(getattr(self, f'stage{stage}'))):
            path = f'stage{stage}.{module}'
            units.append(Unit(path, partial(_exchange, path=path), (path,), stage=stage))
    num_branches = self.stage4_cfg['num_branches'] if self.stage4[-1].multiscale_output else 1
    emits = tuple(Emit(partial(_branch, index=index)) for index in range(num_branches))
    units[-1] = replace(units[-1], emits=emits)
    return tuple(units)


def hrnet_border(self: HRNet, state: Branches) -> Branches:
    """Return all branches."""
    return state


@MODELS.register_module()
class InfoProHRNet(UnrolledBackbone, HRNet):
    """:class:`mmseg.models.backbones.HRNet` that can be cut into local modules."""

    units = hrnet_units
    border_features = hrnet_border
