"""What carries borders: plain sends beside torch's pipeline stages, timed by turns.

``python -m pytest -m campaign -s tests/parallel/test_transport.py`` prints batches per second.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

from mmseg_infopro.local.carried import Carried
from mmseg_infopro.parallel.link import Link
from mmseg_infopro.parallel.rows import control_group
from mmseg_infopro.parallel.watch import Watch
from mmseg_infopro.upstream import job_store
from tests.parallel.processes import run_processes

NUM_BATCHES, NUM_ROUNDS = 12, 7
SIZES = {'1.5 MiB': (4, 128, 24, 32), '6 MiB': (4, 32, 96, 128)}
"""Of borders in 32-bit floats, as (B, C, H, W)."""
NO_FEATURES = Namespace(units=list)
"""A backbone of which no feature rides along."""


class Trains(nn.Module):
    """A local module whose forward pass trains it, as an end-to-end stage's would not."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(dist.get_rank())
        layers = [
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            for _ in range(2)
        ]
        self.layers = nn.Sequential(*layers)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
        self.sends: Callable[[Tensor], Any] = lambda border: None

    def forward(self, entry: Tensor) -> Tensor:
        """Train on one batch, and return what it left."""
        left = self.layers(entry.detach())
        self.sends(left.detach())  # before the backward pass
        self.optimizer.zero_grad()
        (left - 1).square().mean().backward()
        self.optimizer.step()
        return left.detach()


def without_transport(model: Trains, batch: Tensor) -> None:
    """Train side by side: each process on a batch of its own."""
    for _ in range(NUM_BATCHES):
        model(batch)


def plain_sends(model: Trains, batch: Tensor) -> None:
    """Train as a pipeline does, by its own links."""
    ranks, rank = range(dist.get_world_size()), dist.get_rank()
    watch = Watch(job_store(), ranks, rank, timeout=60)
    link = Link(ranks, rank, dist.group.WORLD, control_group([ranks], 60), watch)
    own = Carried(batch, batch, [])
    if rank == 0:
        model.sends = lambda border: link.send(Carried(border, batch, []))
    for _ in range(NUM_BATCHES):
        model(batch if rank == 0 else link.receive(own, NO_FEATURES).state)
    link.finish()


def stages_of_torch(model: Trains, batch: Tensor, at_once: int) -> None:
    """Train by torch's pipeline stages, some batches in each call of the schedule."""
    rank, count = dist.get_rank(), dist.get_world_size()
    stage = PipelineStage(model, rank, count, batch.device, input_args=batch, output_args=batch)
    schedule = ScheduleGPipe(stage, n_microbatches=at_once)
    batches = torch.cat([batch] * at_once)
    for _ in range(NUM_BATCHES // at_once):
        if rank == 0:
            schedule.step(batches, return_outputs=False)
        else:
            schedule.step(return_outputs=False)


WAYS: dict[str, Callable[[Trains, Tensor], None]] = {
    'without each other': without_transport,
    'plain sends': plain_sends,
    "torch's stages, a batch a call": lambda model, batch: stages_of_torch(model, batch, 1),
    "torch's stages, all in a call": lambda model, batch: stages_of_torch(
        model, batch, NUM_BATCHES
    ),
}


def race(rank: int, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return batches per second of each way and round, and the weights that it led to."""
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    speeds: dict[str, list[float]] = {way: [] for way in WAYS}
    weights: dict[str, Tensor] = {}
    for _ in range(NUM_ROUNDS):
        for way, train in WAYS.items():
            model = Trains(shape[1])
            dist.barrier()
            begin = monotonic()
            train(model, batch)
            dist.barrier()
            speeds[way].append(NUM_BATCHES / (monotonic() - begin))
            weights[way] = model.layers[0][0].weight.detach().clone()
    return dict(speeds=speeds, weights=weights)


@pytest.mark.campaign
@pytest.mark.parametrize('size', SIZES)
def test_both_train_alike_and_what_they_take(tmp_path: Path, size: str) -> None:
    processes = run_processes(tmp_path, race, SIZES[size])
    for process in processes:
        _, *weights = process['weights'].values()  # side by side, batches are others
        assert all(torch.equal(weights[0], other) for other in weights[1:])
    speeds = processes[-1]['speeds']
    alone = max(speeds['without each other'])
    print(f'\n{size}: batches per second of the best round, and of all')
    for way, rounds in speeds.items():
        best, each = max(rounds), f'{min(rounds):.2f} to {max(rounds):.2f}'
        print(f'{way:32}{best:6.2f} {best / alone:6.1%}  median {median(rounds):.2f}, {each}')
