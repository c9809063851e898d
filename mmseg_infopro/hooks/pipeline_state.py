"""The state of a whole run, on the first process, of which each process has one module's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer

from ..backbones import is_below
from ..local.module import module_paths
from ..local.update import scaled_modules
from ..parallel.module_parallel import ModuleParallel
from .pipeline_evaluation import on_cpu
from .pipeline_info_hook import PipelineInfoHook

States = Mapping[str, Any]


@contextmanager
def whole_state(runner: Runner) -> Iterator[None]:
    """Context in which the first process's models and optimizer give the state of all modules.

    Collective; without a pipeline nothing is changed.
    """
    model = runner.model
    if not (isinstance(model, ModuleParallel) and model.is_settled):
        yield
        return
    for hook in runner.hooks:
        if isinstance(hook, PipelineInfoHook):
            hook.log_steps(runner)
    averages = [hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)]
    models = [model.module, *averages]
    paths = module_paths(model.module, model.index)
    everyones: list[Any] = []
    if not model.replica:
        own = dict(
            models=[on_cpu(_below(one.state_dict(), paths)) for one in models],
            optimizer=on_cpu(runner.optim_wrapper.optimizer.state_dict()['state']),
            scaler=_scaler(runner.optim_wrapper, model),
        )
        everyones = model.link.gather(own)
    with ExitStack() as stack:
        if everyones:
            for position, one in enumerate(models):
                states = [other['models'][position] for other in everyones]
                stack.enter_context(_joined_model(one, states))
            states = [other['optimizer'] for other in everyones]
            stack.enter_context(_joined_optimizer(runner.optim_wrapper.optimizer, states))
            _take_scalers(runner.optim_wrapper, [other['scaler'] for other in everyones])
        yield


def _below(state: States, paths: Sequence[str]) -> dict[str, Any]:
    """Return what of a state dict belongs to one of some layers or bare parameters."""
    return {name: value for name, value in state.items() if is_below(name, paths)}


@contextmanager
def _joined_model(model: nn.Module, states: Sequence[States]) -> Iterator[None]:
    def join(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for other in states:
            state.update({f'{prefix}{name}': value for name, value in other.items()})

    handle = model.register_state_dict_post_hook(join)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _joined_optimizer(optimizer: Optimizer, states: Sequence[States]) -> Iterator[None]:
    found = {number: state for other in states for number, state in other.items()}

    def join(_: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, 'state': dict(sorted(found.items()))}

    handle = optimizer.register_state_dict_post_hook(join)
    try:
        yield
    finally:
        handle.remove()


def _scaler(optim_wrapper: Any, model: ModuleParallel) -> dict[str, Any] | None:
    """Return the state of the loss scaler of this process's module, if it has one."""
    scales = scaled_modules(optim_wrapper)
    if scales is None:
        return None
    is_tail = model.index == len(model.module.boundaries)
    if is_tail:
        return scales.loss_scaler.state_dict()
    scaler = scales.module_scalers.get(model.index)
    return None if scaler is None else scaler.state_dict()


def _take_scalers(optim_wrapper: Any, states: Sequence[dict[str, Any] | None]) -> None:
    """Let the first process's wrapper know the scales of all modules."""
    scales = scaled_modules(optim_wrapper)
    if scales is None:
        return
    *early, tail = states
    if tail:
        scales.loss_scaler.load_state_dict(tail)
    scales.take_scales({index: state for index, state in enumerate(early) if state})
