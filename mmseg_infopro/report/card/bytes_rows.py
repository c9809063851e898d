"""Predicted against measured bytes of training steps."""

from __future__ import annotations

import gc
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from ...measure.real_step import RealStep
from ...measure.tracker import MemoryTracker
from ..timing import real_config_step
from .networks import Network
from .plans import Plans
from .tasks import Setup, Task

GOAL = 0.1
"""How far the peak may be from the predicted one, as a share of that."""
SECONDS = 25


def bytes_task(setup: Setup, plans: Plans, network: Network, precision: str, way: str) -> Task:
    """Return the row of one way to train one network."""

    def run() -> dict[str, Any]:
        plan = plans.get(network, precision, way)
        allocated, reserved = step_bytes(plan.cfg, setup.device)
        return dict(
            network=network.name,
            precision=precision,
            way=way,
            predicted=plan.peak,
            allocated=allocated,
            reserved=reserved,
            error=allocated / plan.peak - 1,
            goal=GOAL,
        )

    return Task(
        'memory',
        f'{network.name} {precision} {way}',
        run,
        SECONDS,
        planning=lambda: plans.seconds_missing(network, precision, (way,)),
        needs_cuda=precision == 'float16',
    )


def step_bytes(cfg: Config, device: str) -> tuple[int, int | None]:
    """Return the bytes in tensors at most during a step, and those taken from a GPU for them.

    On a CPU, whose allocator tells nothing, the tensors are counted.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        step = real_config_step(cfg, device)
        return step.measure_bytes() if device == 'cuda' else (_tracked_bytes(step), None)


def _tracked_bytes(step: RealStep) -> int:
    tracker = MemoryTracker()
    tracker.track([*step.model.buffers(), *step.model.parameters()], 'parameters')
    with tracker:
        step.take()
        gc.collect()
        tracker.restart()
        step.take()
    return tracker.peak_bytes.total()
