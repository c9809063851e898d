"""A check of the first update: every trainable parameter learns, and from one local module only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from .gradient_faults import Fault, FirstUpdate, describe_fault, find_faults, matches


class GradientWatch:
    """Sees every gradient that reaches a trainable parameter of a model, until it is stopped.

    An optimizer wrapper zeroes the gradients as soon as it has used them.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._sources: dict[str, set[int | None]] = {}
        self._sums: dict[str, Tensor] = {}
        self._trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._handles = [
            parameter.register_post_accumulate_grad_hook(partial(self._see, name))
            for name, parameter in self._trainable.items()
        ]

    def _see(self, name: str, parameter: Tensor) -> None:
        running = getattr(self._model, 'running_module', None)
        self._sources.setdefault(name, set()).add(running)
        if parameter.grad is not None:
            # Finite as the gradient is, and without a temporary tensor of its size.
            self._sums[name] = parameter.grad.sum(dtype=torch.float32)

    def report(self, optimized: Sequence[nn.Parameter]) -> list[FirstUpdate]:
        """Return what was seen.

        Args:
            optimized: The parameters in the optimizer.
        """
        ids = {id(parameter) for parameter in optimized}
        owners = _owners(self._model)
        return [
            FirstUpdate(
                name=name,
                owner=owners.get(name),
                sources=frozenset(self._sources.get(name, ())),
                finite=name not in self._sums or bool(self._sums[name].isfinite()),
                optimized=id(parameter) in ids,
            )
            for name, parameter in self._trainable.items()
        ]

    def stop(self) -> None:
        """Take the hooks off the parameters."""
        for handle in self._handles:
            handle.remove()


@HOOKS.register_module()
class FirstStepCheckHook(Hook):
    """Fails after the first update if a trainable parameter did not learn as it should.

    All steps that accumulate gradient for that update count together. Afterwards nothing is left
    on the parameters, and the hook does nothing.

    A model without local modules (K=1, plain mmseg) may have parameters that mmseg itself never
    uses: there, those without gradient are warned of only. With loss scaling, infinite gradients
    are how the scale is found, and such updates are skipped; the check then waits for a finite one.

    Args:
        allow_unused: Names, or patterns as ``backbone.norm*``, of trainable parameters that need
            no gradient.
        max_skipped_updates: How many updates in a row loss scaling may skip; each halves the scale.

    Raises:
        TypeError: ``allow_unused`` is no list.
        ValueError: In the first update, if the check fails.
    """

    priority = 'VERY_HIGH'  # before anything of a broken model is saved or averaged

    def __init__(self, allow_unused: Sequence[str] = (), max_skipped_updates: int = 20) -> None:
        if isinstance(allow_unused, str):
            raise TypeError(f'allow_unused must be a list of patterns, got {allow_unused!r}')
        self._allow_unused = tuple(allow_unused)
        self._max_skipped = max_skipped_updates
        self._skipped = 0
        self._watch: GradientWatch | None = None

    def before_train(self, runner: Runner) -> None:
        """Start to watch the gradients."""
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            runner.logger.warning(
                'FirstStepCheckHook checks nothing: there are several optimizers, and no one update'
            )
            return
        model = _unwrapped(runner.model)
        names = [name for name, _ in model.named_parameters()]
        for pattern in self._allow_unused:
            if not any(matches(name, [pattern]) for name in names):
                runner.logger.warning(f'allow_unused: no parameter is called {pattern}')
        self._watch = GradientWatch(model)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Check what was seen, once the parameters have been updated."""
        if self._watch is not None and runner.optim_wrapper.should_update():
            try:
                done = self._check(runner, self._watch)
            except ValueError:
                self.after_train(runner)
                raise
            if done:
                self.after_train(runner)

    def after_train(self, runner: Runner) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _check(self, runner: Runner, watch: GradientWatch) -> bool:
        """Return whether the check is over: the update was made and all is well."""
        groups = runner.optim_wrapper.param_groups
        optimized = [parameter for group in groups for parameter in group['params']]
        faults = find_faults(watch.report(optimized), self._allow_unused)
        unused = faults.get(Fault.UNUSED)
        if unused and not getattr(_unwrapped(runner.model), 'boundaries', ()):
            del faults[Fault.UNUSED]
            if not self._skipped:
                runner.logger.warning(describe_fault(Fault.UNUSED, unused))
        if list(faults) == [Fault.NON_FINITE] and _scales_loss(runner.optim_wrapper):
            self._skipped += 1
            if self._skipped <= self._max_skipped:
                return False
        for fault, parameters in faults.items():
            raise ValueError(describe_fault(fault, parameters))
        return True


def _owners(model: Any) -> dict[str, int]:
    boundaries = getattr(model, 'boundaries', ())
    num_modules = len(boundaries) + 1 if boundaries else 0
    return {name: i for i in range(num_modules) for name in model.module_parameters(i)}


def _unwrapped(model: Any) -> Any:
    return model.module if is_model_wrapper(model) else model


def _scales_loss(optim_wrapper: Any) -> bool:
    scaler = getattr(optim_wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()
