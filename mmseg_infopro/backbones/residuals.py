"""How large the residual branches of a unit are, measured while it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .unrolled import State, Unit

WITH_RESIDUALS = (
    'InfoProBEiT',
    'InfoProMAE',
    'InfoProMixVisionTransformer',
    'InfoProResNeSt',
    'InfoProResNeXt',
    'InfoProResNet',
    'InfoProResNetV1c',
    'InfoProResNetV1d',
    'InfoProSwinTransformer',
    'InfoProVisionTransformer',
)
"""Backbones whose units name their residual branches."""


def apply_measuring(
    unit: Unit, backbone: nn.Module, state: State
) -> tuple[State, tuple[Tensor, ...]]:
    """Run a unit; return its state and, for each of its residual branches r, ``mean(r^2)``.

    Hooks stand on the branches only meanwhile, so that a unit that is computed again measures
    again: what autograd saves is the same in both runs.
    """
    found: list[Tensor] = []

    def measure(layer: nn.Module, inputs: Any, branch: Tensor) -> None:
        # A copy: residual blocks write the sum with their shortcut over the branch.
        found.append(branch.to(torch.float32, copy=True).square().mean())

    handles = [
        backbone.get_submodule(path).register_forward_hook(measure) for path in unit.residuals
    ]
    try:
        state = unit.apply(backbone, state)
    finally:
        for handle in handles:
            handle.remove()
    return state, tuple(found)
