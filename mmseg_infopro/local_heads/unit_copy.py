"""Copies of units of the backbone that a local head may run."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from torch import nn

from ..backbones import State, Unit, UnrolledBackbone
from ..upstream import direct_parts, with_parts


class UnitCopy(nn.Module):
    """Own copies of some units of a backbone, run one after the other.

    A unit looks up what it uses in a backbone. Here it finds an instance of the backbone's class
    that holds copies of what the units own and of the layers without parameters; an
    :class:`nn.Identity` stands for every other layer, None for every other bare parameter. Nothing
    initializes the copies anew, and the class's own ``train``, which may freeze, is never called.

    Args:
        backbone: Is only read.
        units: Of the backbone, in order.

    Attributes:
        parts: The instance; parameters are called in it as they are in the backbone.
    """

    def __init__(self, backbone: UnrolledBackbone, units: Sequence[Unit]) -> None:
        super().__init__()
        self.units = tuple(units)
        owns = frozenset(path for unit in units for path in unit.owns)
        self.parts: UnrolledBackbone = _pruned(backbone, '', owns, {})
        self.train()

    def forward(self, state: State) -> State:
        """Return the state after the last unit for the state before the first one."""
        for unit in self.units:
            state = unit.apply(self.parts, state)
        return state

    def train(self, mode: bool = True) -> UnitCopy:
        """Set the mode of every layer."""
        for layer in self.modules():
            layer.training = mode
        return self


def _pruned(module: Any, path: str, owns: frozenset[str], memo: dict[int, Any]) -> Any:
    """Return a copy of a layer without what is not owned.

    Args:
        module: The layer, or None.
        path: Of the layer in the backbone; empty for the backbone.
        owns: Paths of what is copied.
        memo: Copies by the ids of the originals, so that what is shared stays so.
    """
    if module is None or path in owns or not _has_state(module):
        return deepcopy(module, memo)
    if path and not any(own.startswith(f'{path}.') for own in owns):
        return nn.Identity()
    prefix = f'{path}.' if path else ''
    parameters, buffers, children = direct_parts(module)
    return with_parts(
        module,
        {
            name: deepcopy(value, memo) if f'{prefix}{name}' in owns else None
            for name, value in parameters.items()
        },
        {name: deepcopy(value, memo) for name, value in buffers.items()},
        {name: _pruned(child, f'{prefix}{name}', owns, memo) for name, child in children.items()},
    )


def _has_state(module: nn.Module) -> bool:
    tensors = (*module.parameters(), *module.buffers())
    return bool(tensors)
