"""Optimizers of 8 bits by other packages: bitsandbytes, of which mmengine knows, and torchao."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

from mmseg.registry import OPTIMIZERS
from torch.optim import Optimizer

from ..dependencies import quiet_imports

TORCHAO = 'torchao_'
"""Begins the names of torchao's optimizers; bitsandbytes' are called as there."""


def torchao_adam8bit(
    params: Iterable[Any],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    block_size: int = 256,
) -> Optimizer:
    """Return torchao's ``Adam8bit``; the arguments are its own."""
    return _torchao('Adam8bit', params, lr, betas, eps, weight_decay, amsgrad, block_size)


def torchao_adamw8bit(
    params: Iterable[Any],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    block_size: int = 256,
) -> Optimizer:
    """Return torchao's ``AdamW8bit``; the arguments are its own."""
    return _torchao('AdamW8bit', params, lr, betas, eps, weight_decay, amsgrad, block_size)


def _torchao(name: str, params: Iterable[Any], *arguments: Any) -> Optimizer:
    with quiet_imports():  # which takes a second
        from . import torchao_adam
    *by_place, block_size = arguments
    optimizer: Optimizer = getattr(torchao_adam, name)(params, *by_place, block_size=block_size)
    return optimizer


if find_spec('torchao') is not None:
    OPTIMIZERS.register_module(name=f'{TORCHAO}Adam8bit', module=torchao_adam8bit)
    OPTIMIZERS.register_module(name=f'{TORCHAO}AdamW8bit', module=torchao_adamw8bit)


def needed_package(kind: Any) -> str | None:
    """Return what to say of the type of an optimizer of 8 bits that is not there; else None."""
    package = 'torchao' if str(kind).startswith(TORCHAO) else 'bitsandbytes'
    if not str(kind).endswith('8bit') or find_spec(package) is not None:
        return None
    return f"{kind} needs {package}: pip install 'mmseg-infopro[eightbit]'"


def updates_each_alone(optimizer: Optimizer) -> bool:
    """Whether it is one of these, and updates each parameter by its own gradient and state only.

    bitsandbytes' may be told to treat some parameters otherwise, by their place among all.
    """
    kind = type(optimizer)
    if kind.__module__ == f'{__package__}.torchao_adam':
        return True
    overrides = (
        getattr(optimizer, 'mng', None) if kind.__module__.startswith('bitsandbytes.') else None
    )
    return overrides is not None and not overrides.index2config
