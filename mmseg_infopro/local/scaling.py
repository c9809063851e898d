"""Loss scaling of mixed precision with a scale for each local module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch.optim import Optimizer

KEY = 'module_loss_scalers'
"""Of the modules' scales in the state of an optimizer wrapper."""


class ScaledModules:
    """To be put before an optimizer wrapper with a ``loss_scaler``: each module gets its own.

    A module whose gradients overflow skips its update and lowers its scale, and no other module
    does. The wrapper's scaler is the tail's and that of all that is updated at the end of a step. A
    module begins with what that one is then.

    An update that is not fused makes the processor wait for the device, once a module, to know
    whether there was an overflow; ``optimizer=dict(fused=True)`` does not.
    """

    loss_scaler: torch.amp.GradScaler

    @property
    def module_scalers(self) -> dict[int, torch.amp.GradScaler]:
        """The scalers of the local modules that have had one, by number."""
        scalers: dict[int, torch.amp.GradScaler] = vars(self).setdefault('_module_scalers', {})
        return scalers

    @contextmanager
    def scaling(self, module: int) -> Iterator[None]:
        """Context of a backward pass that scales the loss for one module."""
        scaler, self.loss_scaler = self.loss_scaler, self._scaler_of(module)
        try:
            yield
        finally:
            self.loss_scaler = scaler

    def step_module(
        self, module: int, optimizer: Optimizer, clip: Callable[[], None] | None = None
    ) -> None:
        """Update one module, unless its gradients overflowed, and then its scale.

        Args:
            module: Its number.
            optimizer: Of its parameters, some of which have gradients.
            clip: Called on gradients without their scale; they keep it if not given.
        """
        scaler = self._scaler_of(module)
        if clip is not None:
            scaler.unscale_(optimizer)
            clip()
        scaler.step(optimizer)
        scaler.update(vars(self).get('_scale_update_param'))

    def step(self, **kwargs: Any) -> None:
        """Update what has gradients left; there is none where the tail does not train."""
        groups = self.optimizer.param_groups  # type: ignore[attr-defined]
        if any(parameter.grad is not None for group in groups for parameter in group['params']):
            super().step(**kwargs)  # type: ignore[misc]

    def state_dict(self) -> dict[str, Any]:
        """Return the wrapper's state and the modules' scales."""
        state: dict[str, Any] = super().state_dict()  # type: ignore[misc]
        state[KEY] = {index: scaler.state_dict() for index, scaler in self.module_scalers.items()}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of such a wrapper, or of one without scales of modules."""
        scales = state_dict.pop(KEY, {})
        super().load_state_dict(state_dict)  # type: ignore[misc]
        self.module_scalers.clear()
        self.take_scales(scales)

    def take_scales(self, scales: Mapping[int, dict[str, Any]]) -> None:
        """Take the states of modules' scalers, by number."""
        for index, scale in scales.items():
            self._scaler_of(index).load_state_dict(scale)

    def _scaler_of(self, module: int) -> torch.amp.GradScaler:
        if module not in self.module_scalers:
            self.module_scalers[module] = deepcopy(self.loss_scaler)
        return self.module_scalers[module]


@OPTIM_WRAPPERS.register_module()
class LocalAmpOptimWrapper(ScaledModules, AmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper`` for ``local.update_per_module``.

    ``mmseg_infopro.resolve`` puts it in the place of that one. Where nothing is updated per module,
    both do the same.
    """
