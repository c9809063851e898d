"""One line that moves instead of a log that scrolls."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows a progress bar with the loss and the time that is left, where there is a terminal.

    Args:
        interval: Iterations between two readings of the loss: on a GPU each one waits for it.
    """

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval
        self._progress: Progress | None = None

    def before_train(self, runner: Runner) -> None:
        """Show the bar, in the main process."""
        if is_main_process() and Console().is_terminal:
            self._progress = Progress(
                TextColumn('training'),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn('loss {task.fields[loss]:.3f}'),
                TimeRemainingColumn(),
            )
            self._progress.start()
            self._progress.add_task('', total=runner.max_iters, completed=runner.iter, loss=0.0)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Advance it."""
        if self._progress is None:
            return
        shown: dict[str, Any] = dict(completed=runner.iter + 1)
        if outputs is not None and self.every_n_train_iters(runner, self.interval):
            shown['loss'] = float(outputs['loss'])
        self._progress.update(self._progress.task_ids[0], **shown)

    def after_train(self, runner: Runner) -> None:
        """Leave it as it is."""
        if self._progress is not None:
            self._progress.stop()
