"""STDCNet, alone and under the context path of the real-time network that it was made for."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from mmseg.models.backbones import STDCContextPathNet, STDCNet
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from .unrolled import Emit, Unit, UnrolledBackbone

State = list[Tensor]
"""Outputs of the finished stages that are still to be read, and the last output."""


def _stem(backbone: nn.Module, state: Tensor | State, path: str) -> State:
    x = state[-1] if isinstance(state, list) else state
    return [backbone.get_submodule(path)(x)]


def _block(backbone: nn.Module, state: State, path: str, keeps: bool) -> State:
    """Run a block; the output before it is kept where it was that of a finished stage."""
    return [*(state if keeps else state[:-1]), backbone.get_submodule(path)(state[-1])]


def _last(backbone: nn.Module, state: State) -> Tensor:
    return state[-1]


def _stage_units(net: STDCNet, prefix: str = '') -> list[Unit]:
    """Return the units of a net at ``prefix``; the end of each deep stage emits its feature."""
    units: list[Unit] = []
    for index, stage in enumerate(net.stages):
        if index < net.num_shallow_features:
            path = f'{prefix}stages.{index}'
            units.append(Unit(path, partial(_stem, path=path), (path,)))
            continue
        for block in range(len(stage)):
            path = f'{prefix}stages.{index}.{block}'
            keeps = block == 0 and index > net.num_shallow_features
            emits = (Emit(_last),) if block == len(stage) - 1 else ()
            units.append(Unit(path, partial(_block, path=path, keeps=keeps), (path,), emits))
    if net.with_final_conv:
        path, last = f'{prefix}final_conv', units.pop()
        units.append(Unit(last.name, last.apply, last.owns))
        final = partial(_block, path=path, keeps=False)
        units.append(Unit(path, final, (path,), (Emit(_last),)))
    return units


def stdc_units(self: STDCNet) -> tuple[Unit, ...]:
    """Return the units; boundaries are ``stages.{stage}`` and ``stages.{stage}.{block}``."""
    return tuple(_stage_units(self))


def _refine(backbone: STDCContextPathNet, state: State, index: int) -> State:
    """Refine the deepest stage left by attention, add what comes from below, and upsample.

    The state is the stages' outputs that are left and, after the first refinement, the last result.
    """
    if index == 0:
        stages, stage = state[:-1], state[-1]
        below = backbone.conv_avg(F.adaptive_avg_pool2d(stage, 1))
        below = _resize(backbone, below, stage)
    else:
        *stages, stage, below = state
    refined = backbone.arms[index](stage) + below
    return [*stages, backbone.convs[index](_resize(backbone, refined, stages[-1]))]


def _resize(backbone: STDCContextPathNet, x: Tensor, like: Tensor) -> Tensor:
    return resize(
        x, size=like.shape[2:], mode=backbone.upsample_mode, align_corners=backbone.align_corners
    )


def _fuse(backbone: STDCContextPathNet, state: State) -> State:
    return [backbone.ffm(*state)]


def context_path_units(self: STDCContextPathNet) -> tuple[Unit, ...]:
    """Return the units of the wrapped net, ``arms.0``, ``arms.1`` and ``ffm``.

    Features are the first deep stage, both refinements, and the fusion.
    """
    units, seen = [], False
    for unit in _stage_units(self.backbone, 'backbone.'):
        units.append(Unit(unit.name, unit.apply, unit.owns, () if seen else unit.emits))
        seen = seen or bool(unit.emits)
    for index in range(len(self.arms)):
        owns = [f'arms.{index}', f'convs.{index}', *(['conv_avg'] if index == 0 else [])]
        refine = partial(_refine, index=index)
        units.append(Unit(f'arms.{index}', refine, tuple(owns), (Emit(_last),)))
    return (*units, Unit('ffm', _fuse, ('ffm',), (Emit(_last),)))


def stdc_border(self: nn.Module, state: State) -> State:
    """Return the last output: the others were made by earlier units."""
    return state[-1:]


@MODELS.register_module()
class InfoProSTDCNet(UnrolledBackbone, STDCNet):
    """:class:`mmseg.models.backbones.STDCNet` that can be cut into local modules."""

    units = stdc_units
    border_features = stdc_border


@MODELS.register_module()
class InfoProSTDCContextPathNet(UnrolledBackbone, STDCContextPathNet):
    """:class:`mmseg.models.backbones.STDCContextPathNet` that can be cut into local modules."""

    units = context_path_units
    border_features = stdc_border
