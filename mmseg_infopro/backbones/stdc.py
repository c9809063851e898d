"""STDCNet, alone and under the context path of the real-time network that it was made for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch.nn.functional as F
from mmseg.models.backbones import STDCContextPathNet, STDCNet
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .unrolled import Emit, Unit, UnrolledBackbone

Outputs = list[Tensor]
"""State of the context path: the net's features that are yet to be read, and the last output."""


def _layer(backbone: nn.Module, x: Tensor, path: str) -> Tensor:
    return backbone.get_submodule(path)(x)


def _unit(path: str, emits: bool = False, stage: int | None = None) -> Unit:
    return Unit(path, partial(_layer, path=path), (path,), (Emit(),) if emits else (), stage=stage)


def stdc_units(self: STDCNet) -> tuple[Unit, ...]:
    """Return the units; the end of each deep stage emits its feature.

    Boundaries are ``stages.{stage}`` for the two shallow stages, ``stages.{stage}.{block}`` for
    the others.
    """
    shallow = self.num_shallow_features
    units = [_unit(f'stages.{index}', stage=index) for index in range(shallow)]
    for index, stage in enumerate(self.stages[shallow:], shallow):
        last = len(stage) - 1
        units += [
            _unit(f'stages.{index}.{block}', block == last, index) for block in range(last + 1)
        ]
    if self.with_final_conv:
        units[-1] = replace(units[-1], emits=())
        units.append(_unit('final_conv', emits=True, stage=len(self.stages)))
    return tuple(units)


def _net(backbone: STDCContextPathNet, state: Tensor | Outputs, unit: Unit, keeps: bool) -> Outputs:
    """Run a unit of the wrapped net; keep the output before it where that is a feature."""
    outputs = [state] if isinstance(state, Tensor) else state
    return [*(outputs if keeps else outputs[:-1]), unit.apply(backbone.backbone, outputs[-1])]


def _refine_deepest(backbone: STDCContextPathNet, state: Outputs) -> Outputs:
    pooled = backbone.conv_avg(F.adaptive_avg_pool2d(state[-1], 1))
    return _refine(backbone, [*state, _resize(backbone, pooled, state[-1])], 0)


def _refine(backbone: STDCContextPathNet, state: Outputs, index: int) -> Outputs:
    """Refine the deepest feature left by attention, add what comes from below, and upsample."""
    *features, feature, below = state
    refined = backbone.arms[index](feature) + below
    return [*features, backbone.convs[index](_resize(backbone, refined, features[-1]))]


def _resize(backbone: STDCContextPathNet, x: Tensor, like: Tensor) -> Tensor:
    return resize(
        x, size=like.shape[2:], mode=backbone.upsample_mode, align_corners=backbone.align_corners
    )


def _fuse(backbone: STDCContextPathNet, state: Outputs) -> Outputs:
    return [backbone.ffm(*state)]


def _last(backbone: nn.Module, state: Outputs) -> Tensor:
    return state[-1]


def _net_units(net: STDCNet) -> list[Unit]:
    """Return the units of the wrapped net, of whose features only the first is one in the end."""
    units: list[Unit] = []
    num_features, keeps = 0, False
    for unit in stdc_units(net):
        num_features += len(unit.emits)
        emits = (Emit(_last),) if unit.emits and num_features == 1 else ()
        apply = partial(_net, unit=unit, keeps=keeps)
        owns = tuple(f'backbone.{path}' for path in unit.owns)
        units.append(Unit(f'backbone.{unit.name}', apply, owns, emits))
        keeps = bool(unit.emits)
    return units


def context_path_units(self: STDCContextPathNet) -> tuple[Unit, ...]:
    """Return the units; features are the net's first, both refinements, and their fusion.

    Boundaries are ``backbone.{unit}`` with the units of the wrapped net, ``arms.0`` and
    ``arms.1``.

    Raises:
        TypeError: The wrapped net is no STDCNet.
    """
    if not isinstance(self.backbone, STDCNet):
        name = type(self.backbone).__name__
        raise TypeError(f'backbone_cfg must be of type STDCNet to be cut, got {name}')
    units = _net_units(self.backbone)
    for index in range(len(self.arms)):
        apply = partial(_refine, index=index) if index else _refine_deepest
        owns = (*(() if index else ('conv_avg',)), f'arms.{index}', f'convs.{index}')
        units.append(Unit(f'arms.{index}', apply, owns, (Emit(_last),)))
    return (*units, Unit('ffm', _fuse, ('ffm',), (Emit(_last),)))


def context_path_border(self: STDCContextPathNet, state: Outputs) -> Outputs:
    """Return the last output: the features beside it were made by earlier units."""
    return state[-1:]


@MODELS.register_module()
class InfoProSTDCNet(UnrolledBackbone, STDCNet):
    """:class:`mmseg.models.backbones.STDCNet` that can be cut into local modules."""

    units = stdc_units


@MODELS.register_module()
class InfoProSTDCContextPathNet(UnrolledBackbone, STDCContextPathNet):
    """:class:`mmseg.models.backbones.STDCContextPathNet` that can be cut into local modules."""

    units = context_path_units
    border_features = context_path_border
