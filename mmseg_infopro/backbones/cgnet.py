"""CGNet: a stage ends by joining its last output with its first one and the pooled image."""

from __future__ import annotations

from functools import partial

import torch
from mmseg.models.backbones import CGNet
from mmseg.registry import MODELS
from torch import Tensor

from .unrolled import Emit, Unit, UnrolledBackbone

State = dict[str, Tensor]
"""The last output ``x``; ``first``, the stage's first; ``half`` and ``quarter``, pooled images."""

STAGES = ('stem', 'level1', 'level2')
JOINED = (('x', 'half'), ('x', 'first', 'quarter'), ('first', 'x'))
"""What the end of each stage joins, in order."""


def _layer(backbone: CGNet, state: Tensor | State, stage: int, index: int, is_last: bool) -> State:
    if isinstance(state, Tensor):  # the image
        half, quarter = backbone.inject_2x(state), backbone.inject_4x(state)
        state = dict(half=half, quarter=quarter, x=state)
    x = getattr(backbone, STAGES[stage])[index](state['x'])
    begun = dict(first=x) if stage > 0 and index == 0 else {}
    state = {**state, **begun, 'x': x}
    return _join(backbone, state, stage) if is_last else state


def _join(backbone: CGNet, state: State, stage: int) -> State:
    x = torch.cat([state[name] for name in JOINED[stage]], 1)
    kept = {name: value for name, value in state.items() if name not in JOINED[stage]}
    return {**kept, 'x': getattr(backbone, f'norm_prelu_{stage}')(x)}


def _feature(backbone: CGNet, state: State) -> Tensor:
    return state['x']


def cgnet_units(self: CGNet) -> tuple[Unit, ...]:
    """Return the units; a stage's last one includes the stage's norm and emits its feature.

    Boundaries are ``stem.{layer}`` and ``level{stage}.{block}``, as in the parameter names.
    """
    units = []
    for stage, name in enumerate(STAGES):
        last = len(getattr(self, name)) - 1
        for index in range(last + 1):
            path, is_last = f'{name}.{index}', index == last
            owns = (path, f'norm_prelu_{stage}') if is_last else (path,)
            apply = partial(_layer, stage=stage, index=index, is_last=is_last)
            units.append(Unit(path, apply, owns, (Emit(_feature),) if is_last else ()))
    return tuple(units)


def cgnet_border(self: CGNet, state: State) -> list[Tensor]:
    """Return the last output: the others are its own inputs."""
    return [state['x']]


@MODELS.register_module()
class InfoProCGNet(UnrolledBackbone, CGNet):
    """:class:`mmseg.models.backbones.CGNet` that can be cut into local modules."""

    units = cgnet_units
    border_features = cgnet_border
