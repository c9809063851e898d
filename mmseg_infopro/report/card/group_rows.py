"""Data parallel training in a group of one process: NCCL on a GPU, gloo on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from ...measure.real_step import RealStep, free_memory
from ...measure.step_time import time_in_rounds
from ...parallel.local_data_parallel import LocalDataParallel
from ..timing import real_config_step
from .networks import Network
from .plans import Plans
from .tasks import Setup, Task
from .time_rows import ROUNDS, STEPS, row_of_times

NUM_STEPS = 3


def group_task(setup: Setup, plans: Plans, network: Network, way: str) -> Task:
    """Return the row of one way to train one network."""

    def run() -> dict[str, Any]:
        cfg = plans.get(network, 'float32', way).cfg
        with DefaultScope.overwrite_default_scope('mmseg'), group_of_one(setup.device) as backend:
            return dict(network=network.name, way=way, backend=backend, **_compared(cfg, setup))

    return Task(
        'group',
        f'{network.name} {way}',
        run,
        90,
        planning=lambda: plans.seconds_missing(network, 'float32', (way,)),
    )


@contextmanager
def group_of_one(device: str) -> Iterator[str]:
    """Context in which this process is a group; yields its backend."""
    backend = 'nccl' if device == 'cuda' else 'gloo'
    with TemporaryDirectory() as folder:
        place = f'file://{Path(folder)}/rendezvous'
        dist.init_process_group(backend, init_method=place, rank=0, world_size=1)
        try:
            yield backend
        finally:
            free_memory()  # wrappers hold groups of their own
            dist.destroy_process_group()


def _compared(cfg: Config, setup: Setup) -> dict[str, Any]:
    alone = partial(real_config_step, cfg, setup.device)
    wrapped = partial(_wrapped, cfg, setup.device)
    weights = [_trained(maker) for maker in (alone, alone, wrapped)]
    scale = weights[0].abs().max().item()
    rounds, steps = (1, 1) if setup.small else (ROUNDS, STEPS)
    times = time_in_rounds({'alone': alone, 'wrapped': wrapped}, rounds, steps)
    base = times['alone'].seconds() if times['alone'].timed else None
    return dict(
        # What the order of sums does on a GPU: the same steps, taken once more.
        noise=(weights[1] - weights[0]).abs().max().item() / scale,
        difference=(weights[2] - weights[0]).abs().max().item() / scale,
        rows=[row_of_times(name, step, base) for name, step in times.items()],
    )


def _wrapped(cfg: Config, device: str) -> RealStep:
    step = real_config_step(cfg, device)
    step.model = LocalDataParallel(step.model)
    return step


def _trained(make: Callable[[], RealStep]) -> Tensor:
    step = make()
    torch.manual_seed(0)
    for _ in range(NUM_STEPS):
        step.take()
    return torch.cat([p.detach().flatten().cpu() for p in step.model.parameters()])
