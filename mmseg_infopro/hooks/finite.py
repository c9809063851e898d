"""Which of a run's weights are no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import Tensor

from .unwrapped import unwrapped


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that hold an infinity or no number; waits once per device."""
    floats: dict[torch.device, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel() and not tensor.is_meta:
            floats.setdefault(tensor.device, {})[name] = tensor.detach()
    found = []
    for group in floats.values():
        flags = torch.stack([torch.isfinite(tensor).all() for tensor in group.values()]).tolist()
        found += [name for name, is_finite in zip(group, flags, strict=True) if not is_finite]
    return found


def non_finite_weights(runner: Runner) -> list[str]:
    """Return the names of a run's weights that are no numbers, those of averaged models too."""
    weights: dict[str, Any] = dict(unwrapped(runner.model).state_dict())
    for hook in runner.hooks:
        if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model'):
            weights |= {f'ema.{name}': value for name, value in hook.ema_model.state_dict().items()}
    return non_finite({name: w for name, w in weights.items() if isinstance(w, Tensor)})
