"""A model of which a process holds some modules only: the tensors of all others are on meta."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..local.module import module_layers
from ..upstream import own_buffers


def module_tensors(model: Any, index: int) -> dict[str, Tensor]:
    """Return the parameters and buffers of one module's view by name.

    Args:
        model: A segmentor with local modules.
        index: Of the module.
    """
    found: dict[str, Tensor] = dict(model.module_parameters(index))
    for path, layer in module_layers(model, index).items():
        named = {name: buffer for name, buffer in own_buffers(layer).items() if buffer is not None}
        found |= {f'{path}.{name}': buffer for name, buffer in named.items()}
    return found


def set_tensor(model: nn.Module, name: str, tensor: Tensor) -> None:
    """Put a parameter, or a buffer, in the place of another one."""
    path, _, leaf = name.rpartition('.')
    setattr(model.get_submodule(path), leaf, tensor)


def on_meta(tensor: Tensor) -> Tensor:
    """Return what stands for a tensor without its numbers."""
    empty = torch.empty_like(tensor.detach(), device='meta')
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty


def keep_modules(
    model: Any, stages: range, copies: tuple[nn.Module, ...] = ()
) -> dict[Tensor, Any]:
    """Put the tensors of all modules but some on meta.

    Args:
        model: A segmentor with local modules.
        stages: Numbers of the modules to keep.
        copies: Of the model, for which the same holds, as averages of it.

    Returns:
        What replaced each tensor.
    """
    replaced: dict[Tensor, Any] = {}
    for index in range(len(model.boundaries) + 1):
        if index in stages:
            continue
        for name in module_tensors(model, index):
            for one in (model, *copies):
                tensor = tensor_of(one, name)
                replaced[tensor] = on_meta(tensor)
                set_tensor(one, name, replaced[tensor])
    return replaced


def tensor_of(model: nn.Module, name: str) -> Tensor:
    """Return a parameter or buffer by name."""
    path, _, leaf = name.rpartition('.')
    tensor: Tensor = getattr(model.get_submodule(path), leaf)
    return tensor


def keep_state(optimizer: Optimizer, replaced: dict[Tensor, Any]) -> None:
    """Let an optimizer hold replaced parameters in their places, without any state."""
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if parameter in replaced:
                optimizer.state.pop(parameter, None)
        group['params'] = [replaced.get(p, p) for p in group['params']]
