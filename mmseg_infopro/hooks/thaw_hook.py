"""Parameters that are frozen or thawed in the middle of a run."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn
from torch.optim import SGD, Optimizer

from ..local.thaw import check_thawed
from .unwrapped import unwrapped


@HOOKS.register_module()
class ThawHook(Hook):
    """Sees which parameters train, before each step and after all other hooks.

    What is thawed must belong to a module that can train, see :func:`check_thawed`. A fused SGD
    with momentum takes no parameters of which only some have a momentum yet: those that are new get
    one of zero, with which their first step is what it would be.

    Raises:
        ValueError: Before a step, if what was thawed cannot train.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._trained: frozenset[str] | None = None

    def before_train(self, runner: Runner) -> None:
        """Begin anew."""
        self._trained = None

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Look at what trains now."""
        model = unwrapped(runner.model)
        trained = frozenset(n for n, p in model.named_parameters() if p.requires_grad)
        if trained != self._trained:
            check_thawed(model, sorted(trained))
        self._trained = trained
        if not isinstance(runner.optim_wrapper, OptimWrapperDict):
            begin_momentum(runner.optim_wrapper.optimizer)


def begin_momentum(optimizer: Optimizer) -> None:
    """Give parameters of a fused SGD a momentum, where others of their group have one."""
    if not isinstance(optimizer, SGD):
        return
    for group in optimizer.param_groups:
        if not group.get('fused') or not group['momentum'] or group['dampening']:
            continue
        # What is on meta trains in another process.
        trained = [p for p in group['params'] if p.requires_grad and not p.is_meta]
        new = [p for p in trained if _momentum(optimizer, p) is None]
        if len(new) < len(trained):
            for parameter in new:
                optimizer.state[parameter]['momentum_buffer'] = torch.zeros_like(parameter)


def _momentum(optimizer: Optimizer, parameter: nn.Parameter) -> Any:
    return (
        optimizer.state[parameter].get('momentum_buffer') if parameter in optimizer.state else None
    )
