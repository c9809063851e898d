"""A backbone inside another one: unrolled as it is on its own."""

from __future__ import annotations

from mmseg.registry import MODELS
from torch import Tensor, nn

from .unrolled import State, Unit, UnrolledBackbone


def nested_units(backbone: nn.Module) -> tuple[Unit, ...]:
    """Return the units of a backbone that need not be a wrapper itself.

    Raises:
        TypeError: No wrapper of it is registered.
    """
    return _wrapper_of(backbone).units(backbone)  # type: ignore[arg-type]


def nested_border(backbone: nn.Module, state: State) -> list[Tensor]:
    """Return what a local head reads of the state after one of :func:`nested_units`."""
    return _wrapper_of(backbone).border_features(backbone, state)  # type: ignore[arg-type]


def _wrapper_of(backbone: nn.Module) -> type[UnrolledBackbone]:
    if isinstance(backbone, UnrolledBackbone):
        return type(backbone)
    name = type(backbone).__name__
    wrapper = MODELS.get(f'InfoPro{name}')
    if wrapper is None:
        raise TypeError(
            f'backbone_cfg is of type {name}, which cannot be cut into local modules: '
            f'no InfoPro{name} is registered'
        )
    return wrapper
