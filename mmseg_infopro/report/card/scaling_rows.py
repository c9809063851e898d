"""Loss scaling in float16: how the scale settles, and what an overflow does."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from mmengine.registry import DefaultScope

from ...measure.real_step import RealStep
from ..timing import real_config_step
from .networks import Network
from .plans import Plans
from .tasks import Setup, Task

NUM_STEPS = 30
HUGE = 2.0**60
"""A scale at which gradients overflow."""


def scaling_task(setup: Setup, plans: Plans, network: Network, way: str) -> Task:
    """Return the row of one way to train one network."""

    def run() -> dict[str, Any]:
        cfg = plans.get(network, 'float16', way).cfg
        with DefaultScope.overwrite_default_scope('mmseg'):
            step = real_config_step(cfg, setup.device)
            return dict(
                network=network.name, way=way, **_settled(step, NUM_STEPS), **_overflow(step)
            )

    return Task(
        'scaling',
        f'{network.name} {way}',
        run,
        40,
        planning=lambda: plans.seconds_missing(network, 'float16', (way,)),
        needs_cuda=True,
    )


def _settled(step: RealStep, num_steps: int) -> dict[str, Any]:
    """Take steps; a scale that falls tells of an update that was skipped."""
    scales, losses = [_scale(step)], []
    for _ in range(num_steps):
        log = step.model.train_step(step.batch, step.optim_wrapper)
        scales.append(_scale(step))
        losses.append(float(log['loss']))
    return dict(
        first_scale=scales[0],
        last_scale=scales[-1],
        skipped_updates=sum(after < before for before, after in pairwise(scales)),
        first_loss=losses[0],
        last_loss=losses[-1],
    )


def _overflow(step: RealStep) -> dict[str, Any]:
    """Take a step whose gradients overflow; no weight of any module may change.

    Raises:
        RuntimeError: One did, or the scale did not fall.
    """
    step.optim_wrapper.loss_scaler = torch.amp.GradScaler(step.device, init_scale=HUGE)
    # Modules with scales of their own begin anew with this one.
    getattr(step.optim_wrapper, 'module_scalers', {}).clear()
    before = [parameter.detach().clone() for parameter in step.model.parameters()]
    step.model.train_step(step.batch, step.optim_wrapper)
    pairs = zip(before, step.model.parameters(), strict=True)
    changed = sum(not torch.equal(old, new) for old, new in pairs)
    if changed or _scale(step) >= HUGE:
        raise RuntimeError(
            f'after an overflow {changed} parameters changed, and the scale is {_scale(step)}'
        )
    return dict(scale_after_overflow=_scale(step))


def _scale(step: RealStep) -> float:
    return float(step.optim_wrapper.loss_scaler.get_scale())
