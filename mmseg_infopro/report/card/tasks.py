"""What a report on a card consists of, and the loop that runs it, call after call."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from ...measure.real_step import free_memory
from .rows import DONE, FAILED, SKIPPED, CardRow, Ledger

NEEDS_CUDA = 'needs CUDA, and the report runs on a CPU'


@dataclass(frozen=True)
class Setup:
    """Where a report is made.

    Attributes:
        device: ``'cuda'`` or ``'cpu'``.
        small: Tiny networks and few steps, to see that everything runs.
        folder: Of the report and of its plans.
    """

    device: str
    small: bool
    folder: Path

    @property
    def on_gpu(self) -> bool:
        """Return whether it is a GPU."""
        return self.device == 'cuda'


@dataclass(frozen=True)
class Task:
    """One row to come.

    Attributes:
        section: Of the report.
        name: Within it.
        run: Returns the figures.
        seconds: That it takes at most, about, on a GPU with all plans made.
        planning: Returns the seconds that plans still to be made add.
        needs_cuda: Whether a CPU cannot run it.
        asked_only: Whether it runs only if it is asked for by name.
    """

    section: str
    name: str
    run: Callable[[], dict[str, Any]]
    seconds: float
    planning: Callable[[], float] = field(default=lambda: 0.0)
    needs_cuda: bool = False
    asked_only: bool = False

    def matches(self, patterns: Sequence[str]) -> bool:
        """Whether it is asked for: by its section, or as ``section/name`` with wildcards."""
        if not patterns:
            return not self.asked_only
        own = f'{self.section}/{self.name}'
        return any(pattern == self.section or fnmatch(own, pattern) for pattern in patterns)


class BrokenDeviceError(RuntimeError):
    """After an error the device does nothing more in this process."""


def select(tasks: Sequence[Task], patterns: Sequence[str]) -> list[Task]:
    """Return the tasks that are asked for.

    Raises:
        ValueError: A pattern fits none.
    """
    for pattern in patterns:
        if not any(task.matches([pattern]) for task in tasks):
            sections = ', '.join(dict.fromkeys(task.section for task in tasks))
            raise ValueError(
                f'--only {pattern} fits no row: name sections ({sections}), or rows as '
                f'{tasks[0].section}/{tasks[0].name}, with wildcards'
            )
    return [task for task in tasks if task.matches(patterns)]


def run_tasks(
    tasks: Sequence[Task],
    ledger: Ledger,
    setup: Setup,
    order: Sequence[tuple[str, str]],
    seconds_left: Callable[[], float],
    again: bool = False,
    show: Callable[[CardRow], None] = lambda row: None,
) -> Task | None:
    """Run the tasks that have no row yet, one after the other.

    A row whose process ended while it ran is taken for a failed one, so that no call stops at the
    row that stopped the last one.

    Args:
        tasks: In order.
        ledger: Gets a row for each.
        setup: Where they run.
        order: As for :meth:`Ledger.put`.
        seconds_left: Until the call has to end.
        again: Run those that failed, too.
        show: Is told of each row that is new.

    Returns:
        The task that did not fit into the time that was left; None if all have run.

    Raises:
        BrokenDeviceError: An error has left the GPU unusable in this process.
    """
    for task in tasks:
        row = ledger.find(task.section, task.name)
        if row is not None and (row.state == DONE or not again):
            continue
        if task.needs_cuda and not setup.on_gpu:
            row = CardRow(task.section, task.name, SKIPPED, failure=NEEDS_CUDA)
        elif task.seconds + task.planning() > seconds_left():
            return task
        else:
            row = CardRow(task.section, task.name)
            ledger.put(row, order)
            _fill(row, task)
        ledger.put(row, order)
        show(row)
        if row.state == FAILED and setup.on_gpu:
            _check_device()
    return None


def _fill(row: CardRow, task: Task) -> None:
    start = perf_counter()
    try:
        row.figures = task.run()
        row.state = DONE
    except Exception as error:  # whatever it is, the next rows are others
        row.state, row.failure = FAILED, describe(error)
        row.traceback = ''.join(traceback.format_exception(error))
    row.seconds = round(perf_counter() - start, 2)
    free_memory()


def describe(error: Exception) -> str:
    """Return an error as one line."""
    text = ' '.join(str(error).split())
    return text if isinstance(error, ValueError) else f'{type(error).__name__}: {text}'


def _check_device() -> None:
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        raise BrokenDeviceError(
            f'the error has left the GPU unusable in this process ({describe(error)}): call again '
            'to go on with the next row'
        ) from error
