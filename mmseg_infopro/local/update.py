"""The optimizer's step for one local module, before the next module runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, ApexOptimWrapper, OptimWrapper
from torch import nn
from torch.optim import Optimizer

from ..upstream import accumulative_counts, has_step_hooks
from .modular import Modular

SEPARABLE = frozenset(
    getattr(torch.optim, name)
    for name in [
        'ASGD',
        'Adadelta',
        'Adafactor',
        'Adagrad',
        'Adam',
        'AdamW',
        'Adamax',
        'Muon',
        'NAdam',
        'RAdam',
        'RMSprop',
        'Rprop',
        'SGD',
        'SparseAdam',
    ]
    if hasattr(torch.optim, name)  # younger torch versions have more
)
"""Optimizers that update each parameter by its own gradient and state only.

LBFGS does not, nor do others' optimizers that use a norm over all gradients.
"""


class ModuleUpdates:
    """The updates of a step's local modules, one after the other, each as soon as it can be.

    A module's gradients are dropped by its update. The weights and the optimizer's state are bit
    for bit those of one update at the end, which takes over all that is left: the tail, parameters
    of no module's view, and those that have names in several places. Schedulers count that one
    only.

    Args:
        model: Whose ``unshared_parameters`` may be updated early.
        optimizer: One of :data:`SEPARABLE`.
    """

    def __init__(self, model: Modular, optimizer: Optimizer) -> None:
        self._model = model
        self._optimizer = optimizer
        self._updated: list[nn.Parameter] = []

    def update(self, modules: Collection[int]) -> None:
        """Update the parameters of some local modules by their gradients, which are final."""
        unshared = self._model.unshared_parameters
        own = {p for index in modules if index < len(unshared) for p in unshared[index]}
        groups = self._optimizer.param_groups
        parts = [{**group, 'params': [p for p in group['params'] if p in own]} for group in groups]
        self._optimizer.param_groups = [part for part in parts if part['params']]
        try:
            # The class's method: schedulers wrap the instance's to count the updates.
            type(self._optimizer).step(self._optimizer)
        finally:
            self._optimizer.param_groups = groups
        for part in parts:
            self._updated += part['params']
            for parameter in part['params']:
                parameter.grad = None

    def check(self) -> None:
        """Check, after the last backward pass, that no parameter is about to be updated again.

        Raises:
            ValueError: One that was updated has got a gradient from a later module.
        """
        again = {id(parameter) for parameter in self._updated if parameter.grad is not None}
        names = [name for name, p in self._model.named_parameters() if id(p) in again]
        if names:
            raise ValueError(
                f'local.update_per_module must be False for this model: {len(names)} parameter(s), '
                f'as {names[0]}, got gradient from a local module after their own one'
            )


def module_updates(model: Modular, optim_wrapper: OptimWrapper) -> ModuleUpdates | None:
    """Return what updates the local modules of a step, or None if one update is to do it all.

    Warns if ``local.update_per_module`` asks for what the optimizer wrapper does not allow.
    """
    if not model.update_per_module or not model.boundaries:
        return None
    found = obstacles(optim_wrapper)
    if not found:
        return ModuleUpdates(model, optim_wrapper.optimizer)
    # mmengine's logger shows a repeated warning once.
    MMLogger.get_current_instance().warning(
        f'local.update_per_module is ignored because of {", ".join(found)}: all local modules are '
        'updated together, and their gradients are kept up to then'
    )
    return None


def obstacles(optim_wrapper: Any) -> list[str]:
    """Return what of an optimizer wrapper needs all gradients at once, or is not known not to."""
    wrapper = type(optim_wrapper)
    steps = (wrapper.update_params, wrapper.zero_grad, wrapper.step)
    known = [
        (cls.update_params, cls.zero_grad, cls.step) for cls in (OptimWrapper, AmpOptimWrapper)
    ]
    if steps not in known or isinstance(optim_wrapper, ApexOptimWrapper):
        return [f'{wrapper.__name__}, which updates in its own way']
    optimizer, scaler = optim_wrapper.optimizer, getattr(optim_wrapper, 'loss_scaler', None)
    found = {
        'gradient clipping': bool(optim_wrapper.clip_grad_kwargs),
        'loss scaling': scaler is not None and scaler.is_enabled(),
        'gradient accumulation': accumulative_counts(optim_wrapper) > 1,
        f'the optimizer {type(optimizer).__name__}': type(optimizer) not in SEPARABLE,
        "hooks on the optimizer's step": has_step_hooks(optimizer),
    }
    return [obstacle for obstacle, stands in found.items() if stands]


def unshared_parameters(model: Modular) -> tuple[frozenset[nn.Parameter], ...]:
    """Return each local module's parameters, but none of the tail and none with several names.

    A parameter with a second name may be part of a later module, too.
    """
    num_names = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    return tuple(
        frozenset(p for p in model.module_parameters(index).values() if num_names[id(p)] == 1)
        for index in range(len(model.boundaries))
    )


def follow_backbone(model: Modular) -> None:
    """Let local heads that follow the backbone's weights, as momentum copies do, move once."""
    for heads in model.local_heads.values():
        for head in heads:
            if hasattr(head, 'follow'):
                head.follow(model.backbone)
