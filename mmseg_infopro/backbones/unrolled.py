"""The one idea behind every wrapper: a backbone that unrolls itself into named units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from torch import Tensor, nn

State = Any
"""What flows between two units: a tensor or any nest of tensors and plain values."""

Feature = Tensor | list[Tensor]
"""A feature map ``(B, C, H, W)``; with it, in a list, what else is read: a class token."""


def identity(backbone: nn.Module, state: State) -> State:
    """Return the state as it is: the emit of backbones whose features are their states."""
    return state


@dataclass(frozen=True)
class Emit:
    """Turns the state after a unit into one ``out_indices`` feature.

    ``apply(backbone, state)`` looks its layers up at call time. ``owns`` lists the module paths
    and bare parameters that only this emit uses; they train in the module that reads the feature.
    ``index`` is the feature's; None where units emit the features in their order.
    """

    apply: Callable[[nn.Module, State], Feature] = identity
    owns: tuple[str, ...] = ()
    index: int | None = None


@dataclass(frozen=True)
class Unit:
    """The smallest piece that a backbone is cut at.

    ``apply(backbone, state)`` is a pure function that looks its layers up in the backbone at call
    time (a Runner replaces layers after construction and EMA copies the model, so that a captured
    layer would go stale) and never writes into a container that it was given. ``owns`` lists the
    module paths and bare parameters that it uses, ``emits`` the features read off its state,
    ``residuals`` the paths of those modules that return a residual branch as it is added.
    ``stage`` is the stage that it is in, or begins; None where a backbone has none. All states of a
    stage but that before its first unit hold maps of the same sizes.
    """

    name: str
    apply: Callable[[nn.Module, State], State]
    owns: tuple[str, ...]
    emits: tuple[Emit, ...] = ()
    residuals: tuple[str, ...] = ()
    stage: int | None = None


class UnrolledBackbone(nn.Module, ABC):
    """Mixin that adds the cut to a backbone: ``class X(UnrolledBackbone, Backbone)``.

    The parent's constructor, parameters and ``forward`` stay what they are. Running all
    :meth:`units` on an image, and every emit on the state after its unit, gives the parent's
    features bit for bit.
    """

    @abstractmethod
    def units(self) -> tuple[Unit, ...]:
        """Name the units in the order of the forward pass.

        Emits come in the order of features, or all have an index. A backbone that returns other
        features in training than in prediction has other emits.
        """

    def border_features(self, state: State) -> list[Tensor]:
        """Return what a local head reads at a border: feature maps of shape ``(B, C, H, W)``."""
        return [state]

    def example_size(self) -> tuple[int, int]:
        """Return height and width of an image that the backbone takes, to trace shapes with."""
        return 256, 256  # a multiple of every usual stride


def numbered_emits(units: Sequence[Unit]) -> list[list[tuple[int, Emit]]]:
    """Return each unit's emits with the indices of their features."""
    indices = count()
    return [
        [(next(indices) if emit.index is None else emit.index, emit) for emit in unit.emits]
        for unit in units
    ]


def boundary_names(backbone: UnrolledBackbone) -> list[str]:
    """List the boundaries that the backbone can be cut at: every unit but the last."""
    return [unit.name for unit in backbone.units()[:-1]]


def owned_parameters(module: nn.Module, owns: Iterable[str]) -> dict[str, nn.Parameter]:
    """Return the parameters, by name, below the module paths (or at the bare paths) in ``owns``."""
    paths = tuple(owns)
    return {
        name: parameter for name, parameter in module.named_parameters() if is_below(name, paths)
    }


def is_below(name: str, paths: Iterable[str]) -> bool:
    """Whether a layer or parameter is at or below one of some paths."""
    return any(name == path or name.startswith(f'{path}.') for path in paths)
