"""The optimizer's step for one local module, before the next module runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import AmpOptimWrapper, ApexOptimWrapper, OptimWrapper
from torch import nn
from torch.optim import Optimizer

from ..measure.dry_optimizers import DryAdam8bit
from ..upstream import accumulative_counts, has_step_hooks, updates_now
from .eight_bit import updates_each_alone
from .modular import Modular
from .scaling import ScaledModules
from .schedule import Pass

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

    With loss scaling each module has its own scale, and is updated early if it runs in one pass
    alone: gradients of several passes, or of several modules in one, have the scale of all others.

    Where gradients are clipped, each module's are by their own norm, logged as
    ``local_0.grad_norm``; ``grad_norm`` is that of the update at the end. While gradients
    accumulate, nothing is updated.

    Args:
        model: Whose ``unshared_parameters`` may be updated early.
        optim_wrapper: Its optimizer is one of :data:`SEPARABLE`, or of :mod:`.eight_bit`.
        scales: Scales the modules' losses, if anything does.
        passes: Of the step; those of modules alone, one after the other, if not given.
    """

    def __init__(
        self,
        model: Modular,
        optim_wrapper: OptimWrapper,
        scales: ScaledModules | None = None,
        passes: Sequence[Pass] = (),
    ) -> None:
        self._model = model
        self._wrapper = optim_wrapper
        self._is_due = updates_now(optim_wrapper)
        self._scales = scales
        self._scaled = () if scales is None else _early(passes, len(model.unshared_parameters))
        self._updated: list[nn.Parameter] = []

    def scaling(self, run: Pass) -> AbstractContextManager[None]:
        """Return the context of a pass's backward pass."""
        if self._scales is None or run.first not in self._scaled:
            return nullcontext()
        return self._scales.scaling(run.first)

    def update(self, modules: Collection[int]) -> None:
        """Update the parameters of some local modules by their gradients, which are final."""
        if not self._is_due:
            return
        unshared = self._model.unshared_parameters
        early = range(len(unshared)) if self._scales is None else self._scaled
        for index in modules:
            if index in early:
                self._step(index, _part(self._wrapper.optimizer, unshared[index]))

    def _step(self, index: int, part: Optimizer) -> None:
        parameters = [parameter for group in part.param_groups for parameter in group['params']]
        if any(parameter.grad is not None for parameter in parameters):
            clips = self._wrapper.clip_grad_kwargs
            clip = partial(self._clip, index, parameters) if clips else None
            if self._scales is not None:
                self._scales.step_module(index, part, clip)
            else:
                if clip is not None:
                    clip()
                part.step()
        self._updated += parameters
        for parameter in parameters:
            parameter.grad = None

    def _clip(self, index: int, parameters: Iterable[nn.Parameter]) -> None:
        """Clip a module's gradients as the wrapper clips all."""
        found = [p for p in parameters if p.requires_grad and p.grad is not None]
        norm = self._wrapper.clip_func(found, **self._wrapper.clip_grad_kwargs)
        if norm is not None:  # clipping by value has none
            name = f'train/local_{index}.grad_norm'
            self._wrapper.message_hub.update_scalar(name, float(norm))

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


def _early(passes: Sequence[Pass], num_modules: int) -> frozenset[int]:
    """Return the modules before the tail that train in one pass of a step, alone."""
    early = set()
    for position, run in enumerate(passes[:-1]):
        others = [other for other in passes[:position] if other.trains] + [*passes[position + 1 :]]
        shared = any(run.first in other.modules for other in others)
        if run.trains and run.first == run.last < num_modules and not shared:
            early.add(run.first)
    return frozenset(early)


def _part(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Return an optimizer of some of its parameters, on the same state.

    Its step is the class's method: schedulers wrap the instance's to count the updates.
    """
    part, own = object.__new__(type(optimizer)), set(parameters)
    vars(part).update(vars(optimizer))
    vars(part).pop('step', None)
    groups = [
        {**group, 'params': [parameter for parameter in group['params'] if parameter in own]}
        for group in optimizer.param_groups
    ]
    part.param_groups = [group for group in groups if group['params']]
    return part


def module_updates(
    model: Modular, optim_wrapper: OptimWrapper, passes: Sequence[Pass] = ()
) -> ModuleUpdates | None:
    """Return what updates the local modules of a step, or None if one update is to do it all.

    Warns if ``local.update_per_module`` asks for what the optimizer wrapper does not allow.

    Raises:
        ValueError: ``local.update='module'`` asks for it.
    """
    if not model.update_per_module or not model.boundaries:
        return None
    found = obstacles(optim_wrapper, model.norm_per_module)
    scales = scaled_modules(optim_wrapper)
    one_norm = scales is not None or (model.norm_per_module and optim_wrapper.clip_grad_kwargs)
    if one_norm and max(num_names(model).values()) > 1:
        found.append('parameters with several names, whose gradients need one scale and norm')
    if not found:
        return ModuleUpdates(model, optim_wrapper, scales, passes)
    if model.norm_per_module:
        raise ValueError(
            f"local.update='module' does not go with {', '.join(found)}; valid: local.update='step'"
        )
    # mmengine's logger shows a repeated warning once.
    MMLogger.get_current_instance().warning(
        f'local.update_per_module is ignored because of {", ".join(found)}: all local modules are '
        'updated together, and their gradients are kept up to then'
    )
    return None


def obstacles(optim_wrapper: Any, norm_per_module: bool = False) -> list[str]:
    """Return what of an optimizer wrapper needs all gradients at once, or is not known not to.

    Args:
        optim_wrapper: Of mmengine.
        norm_per_module: Clipping takes a norm for each module, and accumulation waits in each.
    """
    wrapper = type(optim_wrapper)
    steps = (wrapper.update_params, wrapper.zero_grad, wrapper.step)
    known = [
        (cls.update_params, cls.zero_grad, step)
        for cls in (OptimWrapper, AmpOptimWrapper)
        for step in (cls.step, ScaledModules.step)
    ]
    if steps not in known or isinstance(optim_wrapper, ApexOptimWrapper):
        return [f'{wrapper.__name__}, which updates in its own way']
    optimizer = optim_wrapper.optimizer
    one_scale = scales_loss(optim_wrapper) and scaled_modules(optim_wrapper) is None
    found = {
        'gradient clipping': bool(optim_wrapper.clip_grad_kwargs) and not norm_per_module,
        'loss scaling by one scale, which LocalAmpOptimWrapper has for each module': one_scale,
        'gradient accumulation': accumulative_counts(optim_wrapper) > 1 and not norm_per_module,
        f'the optimizer {type(optimizer).__name__}': not _is_separable(optimizer),
        "hooks on the optimizer's step": has_step_hooks(optimizer),
    }
    return [obstacle for obstacle, stands in found.items() if stands]


def _is_separable(optimizer: Optimizer) -> bool:
    kind = type(optimizer)
    return kind in (*SEPARABLE, DryAdam8bit) or updates_each_alone(optimizer)


def scales_loss(optim_wrapper: Any) -> bool:
    """Whether an optimizer wrapper scales losses."""
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def scaled_modules(optim_wrapper: Any) -> ScaledModules | None:
    """Return an optimizer wrapper if it scales losses, of each module by its own scale."""
    is_one = hasattr(optim_wrapper, 'step_module')  # that of a dry step is another class
    return optim_wrapper if is_one and scales_loss(optim_wrapper) else None


def num_names(model: Modular) -> Counter[nn.Parameter]:
    """Return how many names each parameter has; one with two may be part of two modules."""
    return Counter(parameter for _, parameter in model.named_parameters(remove_duplicate=False))


def unshared_parameters(model: Modular) -> tuple[frozenset[nn.Parameter], ...]:
    """Return each local module's parameters, but none of the tail and none with several names."""
    names = num_names(model)
    return tuple(
        frozenset(p for p in model.module_parameters(index).values() if names[p] == 1)
        for index in range(len(model.boundaries))
    )
