"""States of networks with branches: the feature map of each branch by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from .unrolled import Emit

Branches = dict[str, Any]
"""Feature maps ``(B, C, H, W)``, the finest first, beside what is no branch: image and size."""

NO_BRANCHES = ('image', 'size')


def run_layers(backbone: nn.Module, x: Tensor, paths: Sequence[str]) -> Tensor:
    """Run the layers at some paths in the backbone, one after the other."""
    for path in paths:
        x = backbone.get_submodule(path)(x)
    return x


def _read(backbone: nn.Module, state: Branches, branch: str) -> Tensor:
    return state[branch]


def emits_of(features: Sequence[str], name: str, branch: str) -> tuple[Emit, ...]:
    """Return the emits of a branch that is called ``name`` among the backbone's features.

    One for each place, and none where the features are without it.
    """
    apply = partial(_read, branch=branch)
    return tuple(Emit(apply, index=i) for i, feature in enumerate(features) if feature == name)


def branch_border(self: nn.Module, state: Branches) -> list[Tensor]:
    """Return all branches."""
    return [x for name, x in state.items() if name not in NO_BRANCHES]
