"""Other forms of the same step: channels last, and through torch.compile."""

from __future__ import annotations

from copy import deepcopy
from time import perf_counter
from typing import Any

import torch
from mmengine.registry import DefaultScope

from ...measure.real_step import RealStep
from ..timing import real_config_step
from .networks import Network
from .plans import FREE, Plans
from .tasks import Setup, Task
from .time_rows import STEPS, compare_times

WAY = FREE
BACKEND = 'eager'
"""Of a small report: it traces, and needs no compiler."""


def channels_last_task(setup: Setup, plans: Plans, network: Network, precision: str) -> Task:
    """Return the row of the memory format."""

    def run() -> dict[str, Any]:
        contiguous = plans.get(network, precision, WAY).cfg
        last = deepcopy(contiguous)
        last.model.local.channels_last = True
        cfgs = {f'{WAY} contiguous': contiguous, f'{WAY} channels_last': last}
        rows = compare_times(setup, cfgs, first=f'{WAY} contiguous')
        return dict(network=network.name, precision=precision, rows=rows)

    return Task(
        'forms',
        f'channels_last {network.name} {precision}',
        run,
        90,
        planning=lambda: plans.seconds_missing(network, precision, (WAY,)),
        needs_cuda=precision == 'float16',
    )


def compile_task(setup: Setup, plans: Plans, network: Network, precision: str) -> Task:
    """Return the row of compiled local modules; of these both models are alive."""

    def run() -> dict[str, Any]:
        cfgs = {'eager': plans.get(network, precision, WAY).cfg}
        cfgs['compiled'] = deepcopy(cfgs['eager'])
        cfgs['compiled'].model.local.compile = dict(backend=BACKEND) if setup.small else True
        with DefaultScope.overwrite_default_scope('mmseg'):
            steps = {name: real_config_step(cfg, setup.device) for name, cfg in cfgs.items()}
            return dict(network=network.name, precision=precision, **_compared(steps, setup.small))

    return Task(
        'forms',
        f'compile {network.name} {precision}',
        run,
        400,
        planning=lambda: plans.seconds_missing(network, precision, (WAY,)),
        needs_cuda=precision == 'float16',
    )


def _compared(steps: dict[str, RealStep], small: bool) -> dict[str, Any]:
    losses, first = {}, {}
    for name, step in steps.items():
        torch.manual_seed(0)  # dropout's, as far as a compiler draws the same numbers
        start = perf_counter()
        log = step.model.train_step(step.batch, step.optim_wrapper)
        losses[name] = float(log['loss'])
        first[name] = perf_counter() - start
        step.take()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(1 if small else 3 * STEPS):
        for name, step in steps.items():
            times[name].append(step.seconds())
    seconds = {name: sorted(values)[len(values) // 2] for name, values in times.items()}
    return dict(
        first_step_seconds=first,
        losses=losses,
        rows=[
            dict(name=f'{WAY} {name}', seconds=value, ratio=value / seconds['eager'])
            for name, value in seconds.items()
        ],
    )
