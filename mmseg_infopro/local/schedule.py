"""Which passes make a training step. Knows nothing of networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmengine.registry import Registry

SCHEDULES = Registry('local schedule', locations=['mmseg_infopro.local.schedules'])
"""Schedules by name, for ``local.schedule=dict(type=...)``."""

AUXILIARY = 'auxiliary'
"""Stands for the auxiliary heads of a module, where weights name heads."""

Weights = Mapping[int | tuple[int, str], float]


@dataclass(frozen=True)
class Pass:
    """Consecutive modules in one graph with one backward pass, from a detached state.

    Attributes:
        first: Its first module.
        last: Its last module.
        weights: What the losses count: by module, or by ``(module, head name)``, which goes
            before. Heads without a weight do not run. The auxiliary heads that train with a module
            are ``(module, 'auxiliary')``; the tail's decode head has the name of its class.
        trains: False runs the modules without a graph, norms and dropout as in prediction.
        recompute: Compute each module a second time in the backward pass, so that the peak stays
            near a module's.
    """

    first: int
    last: int
    weights: Weights = field(default_factory=dict)
    trains: bool = True
    recompute: bool = False

    @property
    def modules(self) -> range:
        """Return the numbers of its modules."""
        return range(self.first, self.last + 1)

    def weight(self, module: int, head: str) -> float:
        """Return what the losses of a head count; 0 leaves it out."""
        return self.weights.get((module, head), self.weights.get(module, 0.0))


class Schedule(ABC):
    """Says which passes a step takes; a pure function of the iteration."""

    @abstractmethod
    def __call__(self, iteration: int, num_modules: int) -> Sequence[Pass]:
        """Return the passes of a step, in order.

        A pass starts from what an earlier one left at its border, or from the image.

        Args:
            iteration: Of the Runner, from 0; steps that accumulate for one update share that of
                the last one.
            num_modules: K.
        """

    def phases(self, num_modules: int) -> dict[str, int]:
        """Return the kinds of step that there are, each with the first iteration that takes it.

        Raises:
            ValueError: The schedule does not fit ``num_modules``.
        """
        return {'local': 0}


def global_pass(num_modules: int, recompute: bool = False) -> Pass:
    """Return the pass of end-to-end training: only the tail's and the auxiliary losses count."""
    weights: dict[int | tuple[int, str], float] = {
        (module, AUXILIARY): 1.0 for module in range(num_modules - 1)
    }
    return Pass(0, num_modules - 1, {**weights, num_modules - 1: 1.0}, recompute=recompute)


def check_passes(passes: Sequence[Pass], num_modules: int) -> None:
    """Check that passes can run one after the other.

    Raises:
        ValueError: One begins or ends at a module that is not there, begins before any pass has
            reached its border, or weighs modules that are not in it; or none trains.
    """
    if not (isinstance(passes, Sequence) and all(isinstance(run, Pass) for run in passes)):
        raise TypeError(f'a schedule must return a list of Pass, got {passes!r}')
    reached = 0
    for run in passes:
        if not 0 <= run.first <= run.last < num_modules:
            raise ValueError(
                f'a pass from module {run.first} to {run.last} is not within '
                f'0 to {num_modules - 1} (K={num_modules})'
            )
        if run.first > reached:
            raise ValueError(
                f'a pass begins at module {run.first}, but the ones before it '
                f'only reach the end of module {reached - 1}'
            )
        reached = max(reached, run.last + 1)
        weighed = {key if isinstance(key, int) else key[0] for key in run.weights}
        if not weighed <= set(run.modules):
            raise ValueError(
                f'a pass of modules {run.first} to {run.last} weighs module '
                f'{min(weighed - set(run.modules))}, which is not in it'
            )
    if not any(run.trains and any(run.weights.values()) for run in passes):
        raise ValueError('a step has no pass that trains a module')
