"""How long the steps of all ways to train one network take, by turns."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from ...measure.real_step import free_memory
from ...measure.step_time import StepTimes, time_in_rounds
from ..timing import real_config_step
from .networks import Network
from .plans import AUTO, E2E, LEAN, WAYS, Plans, ways_of
from .tasks import Setup, Task, describe

GOALS = {LEAN: 1.05, AUTO: 1.10}
"""Seconds of a step, relative to end-to-end training."""
ROUNDS, STEPS = 4, 10
SECONDS = 200


def time_task(
    setup: Setup,
    plans: Plans,
    network: Network,
    precision: str,
    ways: tuple[str, ...] = WAYS,
    section: str = 'times',
) -> Task:
    """Return the row of all ways to train one network that it has."""

    def run() -> dict[str, Any]:
        cfgs, failures = {}, {}
        for way in ways_of(network, ways):
            try:
                cfgs[way] = plans.get(network, precision, way).cfg
            except ValueError as error:  # it has no eight modules, for example
                failures[way] = str(error)
        rows = compare_times(setup, cfgs, GOALS)
        rows += [row_of_times(way, StepTimes(failure=text)) for way, text in failures.items()]
        return dict(network=network.name, precision=precision, rows=rows)

    return Task(
        section,
        f'{network.name} {precision}',
        run,
        SECONDS,
        planning=lambda: plans.seconds_missing(network, precision, ways_of(network, ways)),
        needs_cuda=precision == 'float16',
    )


def compare_times(
    setup: Setup, cfgs: dict[str, Config], goals: dict[str, float] | None = None, first: str = E2E
) -> list[dict[str, Any]]:
    """Time steps by turns, with CUDA's events on a GPU.

    Args:
        setup: Where.
        cfgs: Resolved, by name.
        goals: Of the time relative to the first one's.
        first: What the others are compared with.
    """
    makers = {name: partial(real_config_step, cfg, setup.device) for name, cfg in cfgs.items()}
    rounds, steps = (1, 1) if setup.small else (ROUNDS, STEPS)
    failures: dict[str, str] = {}
    with DefaultScope.overwrite_default_scope('mmseg'):
        for name, make in makers.items():
            try:
                time_in_rounds({name: make}, 1, 1)
            except Exception as error:  # it leaves the others their turns
                failures[name] = describe(error)
                free_memory()
        makers = {name: make for name, make in makers.items() if name not in failures}
        times = time_in_rounds(makers, rounds, steps)
    times |= {name: StepTimes(failure=text) for name, text in failures.items()}
    base = times[first].seconds() if first in times and times[first].timed else None
    return [row_of_times(name, step, base, (goals or {}).get(name)) for name, step in times.items()]


def row_of_times(
    name: str, step: StepTimes, base: float | None = None, goal: float | None = None
) -> dict[str, Any]:
    """Return the figures of timed steps, relative to ``base`` seconds."""
    seconds = step.seconds() if step.timed else None
    return dict(
        name=name,
        seconds=seconds,
        quartiles=step.quartiles() if step.timed else None,
        ratio=None if seconds is None or base is None else seconds / base,
        goal=goal,
        allocated=step.allocated,
        reserved=step.reserved,
        failure=step.failure,
    )
