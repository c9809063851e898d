"""A segmentor with local modules, as the step sees it."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from .schedule import Schedule


class Modular(Protocol):
    """What the step, its forward pass and its updates ask of a segmentor."""

    backbone: Any
    balance_interval: int
    boundaries: tuple[str, ...]
    context: Any
    data_preprocessor: Any
    decode_head: Any
    kinds_of_step: set[Any]
    local_heads: Any
    local_modules: tuple[Any, ...]
    offloaded: frozenset[int]
    recomputes: bool
    neck: Any
    norm_per_module: bool
    run_units: Any
    running_module: int | None
    running_pass: range | None
    schedule: Schedule
    unshared_parameters: Any
    train_cfg: Any
    update_per_module: bool
    with_auxiliary_head: bool
    with_neck: bool

    def parse_losses(self, losses: Any) -> Any:
        """As of any mmengine model."""

    def loss(self, inputs: Any, data_samples: Any) -> Any:
        """As of any segmentor."""

    def module_parameters(self, index: int) -> dict[str, nn.Parameter]:
        """Return the parameters of one module's view by name."""

    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        """As of any module."""

    def get_submodule(self, target: str) -> Any:
        """As of any module."""
