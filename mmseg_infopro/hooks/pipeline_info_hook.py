"""What a pipeline logs: the values of all its modules, as one process would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.hooks import EMAHook, LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..parallel.module_parallel import ModuleParallel
from ..parallel.stale_link import KINDS, StaleLink
from .pipeline_evaluation import on_cpu, spread_evaluation
from .stage_clock import COMPUTE, Seconds, StageClock, write_stage_times

Values = dict[str, Any]


@HOOKS.register_module()
class PipelineInfoHook(RuntimeInfoHook):
    """mmengine's :class:`RuntimeInfoHook` for :class:`ModuleParallel`.

    Before training it lets each process keep its own module. The losses of a step stay where they
    were made until a log, a checkpoint or a validation needs them; then the first process of a
    pipeline gets those of every step since, under the names that one process logs, their sum as
    ``loss``. Between these nothing waits.

    In a validation or test each process of a pipeline runs its own module, and the last one
    predicts. A test in one process, as by mmseg's own script, is as ever.
    """

    priority = 'HIGHEST'  # before whatever reads what is logged, or saves

    def __init__(self) -> None:
        self._steps: list[Values] = []
        self._norms: dict[str, int] = {}
        self._intervals: list[int] = []
        self._said = False
        self._clock = StageClock()
        self._iteration = 0
        self._since: int | None = None
        self._said_shares = False

    def before_train(self, runner: Runner) -> None:
        """Keep one module.

        Raises:
            ValueError: The update needs all modules.
        """
        super().before_train(runner)
        self._steps, self._said = [], False
        self._clock, self._since, self._said_shares = StageClock(), None, False
        self._iteration = runner.iter
        self._intervals = [h.interval for h in runner.hooks if isinstance(h, LoggerHook)]
        averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        pipeline(runner).settle(runner.optim_wrapper, [average.module for average in averages])
        for average in averages:  # it holds what it averages by name
            tensors = average.module.state_dict(keep_vars=True)
            average.avg_parameters = {name: tensors[name] for name in average.avg_parameters}
        self._norms = {name: len(h.data[0]) for name, h in _norms(runner).items()}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note that the step begins."""
        super().before_train_iter(runner, batch_idx, data_batch)
        self._clock.begin(pipeline(runner).link.watch)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Note what the step gave, and log where that is due."""
        self._clock.end(pipeline(runner).link.watch)
        self._iteration = runner.iter + 1
        self._steps.append(outputs or {})
        ends = self.end_of_epoch(runner.train_dataloader, batch_idx)
        due = any(self.every_n_inner_iters(batch_idx, interval) for interval in self._intervals)
        if due or ends or self.is_last_train_iter(runner):
            self.log_steps(runner)

    def after_train(self, runner: Runner) -> None:
        """Bring to its end what is on its way; say how much of it was stale."""
        model = pipeline(runner)
        model.link.finish()
        if isinstance(model.link, StaleLink):
            for index, counts in enumerate(model.link.gather(model.link.counts)):
                said = ', '.join(f'{counts[kind]} {kind}' for kind in KINDS)
                runner.logger.info(f'iterations of local module {index}: {said}')

    def before_val(self, runner: Runner) -> None:
        """Log what has been noted: a checkpoint may be saved with the validation."""
        super().before_val(runner)
        self.log_steps(runner)
        spread_evaluation(runner.val_loop, pipeline(runner))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Bring to its end what is on its way, before averages are given back."""
        pipeline(runner).end_predictions()
        super().after_val_epoch(runner, metrics)

    def before_test(self, runner: Runner) -> None:
        """Let the loop evaluate a pipeline."""
        super().before_test(runner)
        if runner.world_size > 1:
            spread_evaluation(runner.test_loop, pipeline(runner))

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Bring to its end what is on its way, before averages are given back."""
        if runner.world_size > 1:
            pipeline(runner).end_predictions()
        super().after_test_epoch(runner, metrics)

    def log_steps(self, runner: Runner) -> None:
        """Bring the noted values of all modules together (collective within a pipeline)."""
        steps, self._steps = [on_cpu(values) for values in self._steps], []
        model, hub = pipeline(runner), runner.message_hub
        if model.replica:  # as in any data parallel training, the first process logs its own
            return
        norms = {
            name: history.data[0][self._norms.get(name, 0) :].tolist()
            for name, history in _norms(runner).items()
        }
        seconds = _noted(runner, 'data_time')
        spent = self._clock.since_first_log(sum(seconds))  # first steps are no others
        everyones = model.link.gather((steps, norms, seconds, spent))
        self._norms = {name: len(h.data[0]) for name, h in _norms(runner).items()}
        if not everyones:
            return
        for values in zip(*(steps for steps, *_ in everyones), strict=True):
            for name, value in joined(values).items():
                hub.update_scalar(f'train/{name}', value)
        for _, norms, *_ in everyones[1:]:
            for name, found in norms.items():
                for value in found:
                    hub.update_scalar(name, value)
        self._norms = {name: len(h.data[0]) for name, h in _norms(runner).items()}
        self._say_loading(runner, [own[2] for own in everyones])
        self._note_times(runner, [own[3] for own in everyones])

    def _note_times(self, runner: Runner, spent: list[Seconds]) -> None:
        """Write what each process did since the first log; say once each module's share of it."""
        self._since = self._iteration if self._since is None else self._since
        busy = [seconds[COMPUTE] for seconds in spent]
        # A GPU waits without its process.
        if get_device() != 'cpu' or min(busy) <= 0:
            return
        write_stage_times(Path(runner.log_dir), (self._since, self._iteration), spent)
        if not self._said_shares:
            self._said_shares = True
            shares = ', '.join(f'{value / sum(busy):.1%}' for value in busy)
            runner.logger.info(f'measured shares of the time, by local module: {shares}')

    def _say_loading(self, runner: Runner, seconds: list[list[float]]) -> None:
        """Say once what it costs that every process loads every batch."""
        if self._said or not all(seconds):
            return
        self._said = True
        each = [f'{1000 * sum(own) / len(own):.0f}' for own in seconds]
        runner.logger.info(
            f'the {len(each)} processes of a pipeline load the same batches: they waited for '
            f'{", ".join(each)} ms a batch'
        )


def _noted(runner: Runner, name: str) -> list[float]:
    """Return what mmengine has noted of each step up to now."""
    history = runner.message_hub.log_scalars.get(f'train/{name}')
    return history.data[0].tolist() if history else []


def joined(values: tuple[Values, ...]) -> Values:
    """Return the values of all modules of one step, in order, and the sum of their losses."""
    names = {name: value for own in values for name, value in own.items() if name != 'loss'}
    losses = [own['loss'] for own in values if 'loss' in own]
    return {**names, 'loss': torch.stack(losses).sum()} if losses else names


def pipeline(runner: Runner) -> ModuleParallel:
    """Return a run's model.

    Raises:
        TypeError: It is no pipeline.
    """
    if not isinstance(runner.model, ModuleParallel):
        raise TypeError(
            f'PipelineInfoHook needs model_wrapper_cfg.type=ModuleParallel, got '
            f'{type(runner.model).__name__}: it is for local.placement=pipeline'
        )
    return runner.model


def _norms(runner: Runner) -> dict[str, Any]:
    scalars = runner.message_hub.log_scalars
    return {name: history for name, history in scalars.items() if name.endswith('grad_norm')}
