"""A validation that was cut off is made up when the run resumes."""

from __future__ import annotations

from bisect import bisect
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ..files.whole import write_whole

FILE = 'last_validation'


@HOOKS.register_module()
class MadeUpValidationHook(Hook):
    """Validates at a resume if the run was stopped between a checkpoint and its validation's end.

    The work directory's file ``last_validation`` says which one was the last that ended, its best
    checkpoint included. Elsewhere it is made up too.
    """

    priority = 'LOWEST'  # after all has been restored, or saved

    def __init__(self) -> None:
        self._trains = False

    def before_train(self, runner: Runner) -> None:
        """Make a validation up that is due where the run resumes (collective)."""
        self._trains = True
        place = _place(runner)
        if runner.iter and runner.val_loop is not None and _is_due(runner):
            last = [_last(runner) if is_main_process() else '']
            broadcast_object_list(last)
            if last[0] != place:
                runner.logger.info(f'the validation after {place} is made up')
                runner.val_loop.run()

    def after_val(self, runner: Runner) -> None:
        """Note that it ended."""
        if self._trains and is_main_process():
            write_whole(Path(runner.work_dir, FILE), _place(runner))

    def after_train(self, runner: Runner) -> None:
        """Evaluations after the training are not noted."""
        self._trains = False


def _is_due(runner: Runner) -> bool:
    loop: Any = runner.train_loop
    if not hasattr(loop, 'dynamic_intervals'):  # a loop of the user's own
        return False
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    now, end = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    interval = loop.dynamic_intervals[bisect(loop.dynamic_milestones, now + 1) - 1]
    return now >= loop.val_begin and (now % interval == 0 or now == end)


def _place(runner: Runner) -> str:
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return f'epoch {runner.epoch}'
    return f'iteration {runner.iter}'


def _last(runner: Runner) -> str:
    file = Path(runner.work_dir, FILE)
    return file.read_text(errors='replace').strip() if file.is_file() else ''
