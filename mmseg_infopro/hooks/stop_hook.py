"""A run that a signal stops saves its state first, and continues bit for bit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..parallel.module_parallel import ModuleParallel
from .stopping import Stopped, requested_signal, signal_name
from .whole_checkpoint_hook import WholeCheckpointHook


@HOOKS.register_module()
class StopHook(Hook):
    """Stops a run after the step in which SIGTERM, SIGUSR1 or Ctrl-C came, with a checkpoint.

    Several processes stop after the same step: each tells the others at the start of a step, and
    asks at its end what they told, so nothing waits on a GPU. A validation is left at once, and
    made up at the resume.

    Where processes are not at the same step, as in a pipeline, they stop some steps later: what was
    told is asked for after so many that it is there.

    Signals are noted in a block of :func:`signals_noted`, as in ``tools/train.py``. Runs by epoch
    stop too, but resume from their last checkpoint only.
    """

    priority = 'VERY_HIGH'  # RNGStateHook and CheckpointHook ask what was agreed on

    def __init__(self) -> None:
        self.agreed = 0
        self._group: Any = None
        self._pending: deque[tuple[Any, torch.Tensor]] = deque()
        self._lag = 0
        self._waiting: Callable[[], AbstractContextManager[None]] = nullcontext
        self._asks_in_validation = True

    def before_train(self, runner: Runner) -> None:
        """Open a group for the exchange, which needs no GPU."""
        self.agreed = 0
        self._pending.clear()
        if isinstance(runner.model, ModuleParallel):
            self._lag, self._waiting = runner.model.lag, runner.model.link.watch.waiting
        if get_world_size() > 1:
            self._group = dist.new_group(backend='gloo')

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop, if that was agreed on; else tell the other processes of a signal."""
        self._stop_if_agreed(runner)
        self._tell()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Agree with the other processes."""
        self.agreed = self._ask()

    def before_val(self, runner: Runner) -> None:
        """Stop, if that was agreed on; else find out whether all validate equally long."""
        self._stop_if_agreed(runner)
        lengths = all_gather_object(len(runner.val_dataloader))
        self._asks_in_validation = len(set(lengths)) == 1

    def before_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Tell the other processes of a signal."""
        if self._asks_in_validation:
            self._tell()

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Agree with the other processes; leave the validation."""
        if not self._asks_in_validation:
            return
        self.agreed = self._ask()
        if self.agreed:
            if isinstance(runner.model, ModuleParallel):
                runner.model.end_predictions()
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # it lent the model its averages
                    hook.after_val_epoch(runner)
                elif isinstance(hook, WholeCheckpointHook):
                    hook.save_now(runner, runner.iter)
            self._stop_if_agreed(runner)

    def _tell(self) -> None:
        if self._group is not None:
            flag = torch.tensor([requested_signal()])
            work = dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group, async_op=True)
            self._pending.append((work, flag))

    def _ask(self) -> int:
        if self._group is None:
            return requested_signal()
        if len(self._pending) <= self._lag:
            return 0
        work, flag = self._pending.popleft()
        with self._waiting():
            work.wait()
        return int(flag.item())

    def _stop_if_agreed(self, runner: Runner) -> None:
        if not self.agreed:
            return
        saved = [
            hook.last_ckpt
            for hook in runner.hooks
            if isinstance(hook, WholeCheckpointHook) and hook.saved_at == runner.iter
        ]
        last = runner.message_hub.runtime_info.get('last_ckpt')
        state = f'saved {saved[0]}' if saved else f'the last checkpoint is {last or "none"}'
        if isinstance(runner.model, ModuleParallel):
            runner.model.link.finish()
        if self._group is not None:
            dist.barrier(self._group)  # a launcher ends all processes when the first one ends
        runner.logger.warning(
            f'stopped by {signal_name(self.agreed)} after iteration {runner.iter}: {state}; '
            f'--resume goes on from there (exit status {128 + self.agreed})'
        )
        raise Stopped(self.agreed)
