"""Training that resumes in the middle of a gradient accumulation."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from ..parallel.module_parallel import ModuleParallel
from ..upstream import accumulative_counts
from .rng_state_hook import checkpoint_due
from .unwrapped import unwrapped


@HOOKS.register_module()
class PartialGradientsHook(Hook):
    """Saves gradients that wait for more steps before an update, and restores them at a resume.

    The checkpoint gets `partial_gradients` if the wrapper's `accumulative_counts` does not divide
    its iteration, and nothing else. With loss scaling they are scaled as the saved scaler says.
    Those of several processes are averaged: the exchange before the update averages them again,
    which changes them by rounding only.
    """

    priority = 'LOW'  # before CheckpointHook

    def __init__(self) -> None:
        self._gathered: dict[str, Tensor] = {}
        self._gathered_at = -1
        self._loaded: dict[str, Any] | None = None

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Averages over the ranks, as only the main process gets to the saving."""
        self._gathered = {}
        if checkpoint_due(runner):
            self._gather(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """Averages over the ranks for checkpoints that are saved by epoch."""
        self._gather(runner, runner.iter)

    def before_val(self, runner: Runner) -> None:
        """Averages over the ranks for the checkpoint that is saved with the best one."""
        self._gather(runner, runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Adds `partial_gradients` to the checkpoint (main process only)."""
        if 'optimizer' not in checkpoint or not _waits(runner.optim_wrapper):
            return
        iteration = checkpoint['meta']['iter']
        if self._gathered_at != iteration:
            if get_world_size() > 1:
                runner.logger.warning(
                    f'The checkpoint of iteration {iteration} does not hold the gradients that '
                    'wait for an update, because no CheckpointHook announced it to the other '
                    'processes: resuming from it loses them.'
                )
                return
            self._gather(runner, iteration)
        checkpoint['partial_gradients'] = dict(
            accumulative_counts=accumulative_counts(runner.optim_wrapper),
            loss_share=_loss_share(runner.optim_wrapper),
            gradients=self._gathered,
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keeps the gradients; whether this is a resume is known only in `before_train`."""
        self._loaded = checkpoint.pop('partial_gradients', None)

    def before_train(self, runner: Runner) -> None:
        """Restores the gradients at a resume.

        Raises:
            ValueError: The model does not train what they belong to.
        """
        loaded, self._loaded = self._loaded, None
        if runner.iter == 0 or loaded is None:
            return
        counts = accumulative_counts(runner.optim_wrapper)
        if loaded['accumulative_counts'] != counts:
            runner.logger.warning(
                f'The checkpoint was saved with accumulative_counts={loaded["accumulative_counts"]}'
                f' in the middle of an accumulation, and is resumed with {counts}: the gradients '
                'that waited for an update are dropped.'
            )
            return
        # Another max_iters may have made the accumulation shorter or longer than it was to be.
        factor = _loss_share(runner.optim_wrapper) / loaded['loss_share']
        trainable = _trainable(runner)
        elsewhere = {n for n, p in unwrapped(runner.model).named_parameters() if p.is_meta}
        unknown = loaded['gradients'].keys() - trainable.keys() - elsewhere
        if unknown:
            raise ValueError(
                f'the checkpoint holds gradients of {len(unknown)} parameter(s) that the model '
                f'does not train, as {min(unknown)}: resume with the config that it was saved with'
            )
        for name, gradient in loaded['gradients'].items():
            if name in elsewhere:
                continue
            trainable[name].grad = (gradient * factor).to(trainable[name])
        runner.logger.info(
            f'The gradients of {runner.iter % counts} iteration(s) that waited for an update are '
            'restored: none is lost.'
        )

    def _gather(self, runner: Runner, iteration: int) -> None:
        """Averages what waits over all ranks (collective)."""
        if self._gathered_at == iteration or not _waits(runner.optim_wrapper):
            return
        trainable = _trainable(runner)
        own = [name for name, parameter in trainable.items() if parameter.grad is not None]
        model = runner.model
        group = model.replicas if isinstance(model, ModuleParallel) else None
        names = {name for names in all_gather_object(own, group) for name in names}
        self._gathered_at = iteration
        for name, parameter in trainable.items():
            if name not in names:
                continue
            gradient = parameter.grad
            gradient = torch.zeros_like(parameter) if gradient is None else gradient.clone()
            all_reduce(gradient, 'mean', group)
            self._gathered[name] = gradient.detach().cpu()
        if isinstance(model, ModuleParallel) and not model.replica:
            everyones = model.link.gather(self._gathered)
            self._gathered = {name: g for others in everyones for name, g in others.items()}


def _waits(optim_wrapper: OptimWrapper) -> bool:
    """Whether the last step's gradients wait for more; one of several optimizers is not known."""
    return not isinstance(optim_wrapper, OptimWrapperDict) and not optim_wrapper.should_update()


def _loss_share(optim_wrapper: OptimWrapper) -> float:
    """What each loss of the current accumulation is multiplied by."""
    return optim_wrapper.scale_loss(torch.ones(())).item()


def _trainable(runner: Runner) -> dict[str, nn.Parameter]:
    named = unwrapped(runner.model).named_parameters()
    return {name: p for name, p in named if p.requires_grad and not p.is_meta}
