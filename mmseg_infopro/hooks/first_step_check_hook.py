"""A check of the first update: every trainable parameter learns, and from one local module only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..local.reached import reached_parameters
from ..local.schedule_checks import kind_of_step
from ..local.step import step_passes
from ..local.update import scales_loss
from .gradient_faults import Fault, describe_fault, find_faults, matches
from .gradient_watch import GradientWatch
from .unwrapped import unwrapped


@HOOKS.register_module()
class FirstStepCheckHook(Hook):
    """Fails after the first update if a trainable parameter did not learn as it should.

    All steps that accumulate gradient for that update count together. Afterwards nothing is left
    on the parameters, and the hook does nothing.

    A model without local modules (K=1, plain mmseg) may have parameters that mmseg itself never
    uses: there, those without gradient are warned of only. With loss scaling, infinite gradients
    are how the scale is found, and such updates are skipped; the check then waits for a finite one.

    Where a schedule has several kinds of step (the modules train one after the other, or some steps
    are end to end), the first one of each kind is checked, for what it is to train; so is the first
    one after parameters were frozen or thawed, for those that train then.

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
        self._is_on = False
        self._checked: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Check the settings, and begin anew."""
        self._is_on, self._checked = False, []
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            runner.logger.warning(
                'FirstStepCheckHook checks nothing: there are several optimizers, and no one update'
            )
            return
        model = unwrapped(runner.model)
        names = [name for name, _ in model.named_parameters()]
        for pattern in self._allow_unused:
            if not any(matches(name, [pattern]) for name in names):
                runner.logger.warning(f'allow_unused: no parameter is called {pattern}')
        self._is_on = True

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Watch the first step of each kind that the schedule has."""
        if not self._is_on:
            return
        model = unwrapped(runner.model)
        passes = step_passes(model, runner.optim_wrapper) if hasattr(model, 'schedule') else ()
        trained = frozenset(n for n, p in model.named_parameters() if p.requires_grad)
        kind = kind_of_step(passes), trained
        if kind in self._checked:
            return
        self._stop()
        self._checked.append(kind)
        expected = reached_parameters(model, passes) if getattr(model, 'boundaries', ()) else None
        self._watch = GradientWatch(model, expected)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Check what was seen, once the parameters have been updated."""
        if self._watch is not None and runner.optim_wrapper.should_update():
            try:
                done = self._check(runner, self._watch)
            except ValueError:
                self.after_train(runner)
                raise
            if done:
                self._stop()

    def after_train(self, runner: Runner) -> None:
        """Stop watching."""
        self._stop()
        self._is_on = False

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _check(self, runner: Runner, watch: GradientWatch) -> bool:
        """Return whether the check is over: the update was made and all is well."""
        groups = runner.optim_wrapper.param_groups
        optimized = [parameter for group in groups for parameter in group['params']]
        faults = find_faults(watch.report(optimized), self._allow_unused)
        unused = faults.get(Fault.UNUSED)
        if unused and not getattr(unwrapped(runner.model), 'boundaries', ()):
            del faults[Fault.UNUSED]
            if not self._skipped:
                runner.logger.warning(describe_fault(Fault.UNUSED, unused))
        if list(faults) == [Fault.NON_FINITE] and scales_loss(runner.optim_wrapper):
            self._skipped += 1
            if self._skipped <= self._max_skipped:
                return False
        for fault, parameters in faults.items():
            raise ValueError(describe_fault(fault, parameters))
        return True
