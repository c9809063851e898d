"""A run whose losses are no numbers any more stops, and says where that began."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from ..local.update import scales_loss
from ..parallel.module_parallel import ModuleParallel
from .finite import non_finite_weights
from .loss_watch import LossWatch
from .rng_state_hook import checkpoint_due

ACTIONS = ('stop', 'warn')
INTERVAL = 50


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Watches the losses of every step, and the weights before every checkpoint.

    What a step noted stays on the device until the log's interval ends, a checkpoint is due or a
    validation begins. With loss scaling, where a step without numbers is skipped, such steps
    count only if many come in a row.

    Args:
        action: ``stop`` the run, or ``warn``.
        interval: Iterations between two looks; the log's if not given.
        max_skipped_updates: How many steps in a row loss scaling may skip.

    Raises:
        ValueError: ``action`` is another one; in a run, if losses or weights are no numbers.
    """

    priority = 'ABOVE_NORMAL'  # before anything is averaged or saved

    def __init__(
        self, action: str = 'stop', interval: int | None = None, max_skipped_updates: int = 20
    ) -> None:
        if action not in ACTIONS:
            raise ValueError(f'NonFiniteHook.action must be one of {ACTIONS}, got {action!r}')
        if interval is not None and interval < 1:
            raise ValueError(f'NonFiniteHook.interval must be at least 1, got {interval}')
        self._stops = action == 'stop'
        self._interval = interval
        self._max_skipped = max_skipped_updates
        self._watch = LossWatch()
        self._exempt: frozenset[str] = frozenset()

    def before_train(self, runner: Runner) -> None:
        """Begin anew; weights that are no numbers from the start are not watched."""
        self._watch = LossWatch()
        self._exempt = frozenset(non_finite_weights(runner))
        logs = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        if self._interval is None:
            self._interval = min(logs, default=INTERVAL)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Note the losses; look at what was noted where that is due."""
        values = {name: value for name, value in (outputs or {}).items() if 'loss' in name}
        losses = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        if len(losses) > 1:
            losses.pop('loss', None)  # their sum
        if losses:
            self._watch.add(losses, runner.iter + 1)
        saves = checkpoint_due(runner)
        if saves or self.every_n_train_iters(runner, self._interval):
            self._look(runner, runner.iter + 1, weights=saves)

    def after_train_epoch(self, runner: Runner) -> None:
        """Look before a checkpoint that is saved by epoch."""
        self._look(runner, runner.iter, weights=True)

    def before_val(self, runner: Runner) -> None:
        """Look before minutes are spent on an evaluation."""
        self._look(runner, runner.iter, weights=False)

    def _look(self, runner: Runner, iteration: int, weights: bool) -> None:
        """Agree with the other processes on what was found, and act (collective)."""
        if isinstance(runner.model, ModuleParallel):  # it knows whom all wait for, and how long
            runner.model.meet()
        found = all_gather_object(self._finding(runner, weights))
        where = next((rank for rank, text in enumerate(found) if text), None)
        if where is None:
            return
        process = f' in process {where}' if len(found) > 1 else ''
        last = runner.message_hub.runtime_info.get('last_ckpt') or runner.cfg.get('load_from')
        message = (
            f'{found[where]}{process}, seen after iteration {iteration}; the last good checkpoint '
            f'is {last or "none"}'
        )
        if self._stops:
            error = ValueError(
                f'{message}. Try a smaller optim_wrapper.optimizer.lr, a warm-up or '
                'optim_wrapper.clip_grad; custom_hooks=[dict(type="NonFiniteHook", action="warn")] '
                'would go on, without saving such weights'
            )
            vars(error)['said_elsewhere'] = not is_main_process()
            raise error
        runner.logger.warning(message)

    def _finding(self, runner: Runner, weights: bool) -> str | None:
        broken = self._watch.read()
        tolerated = self._max_skipped if scales_loss(runner.optim_wrapper) else 0
        if broken is not None and (not tolerated or broken.in_a_row > tolerated):
            return str(broken)
        if weights:
            names = [name for name in non_finite_weights(runner) if name not in self._exempt]
            if names:
                return f'{len(names)} weights are no numbers, first {names[0]}'
        return None
