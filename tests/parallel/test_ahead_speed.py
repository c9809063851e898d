"""What it gains to ask for borders ahead: seconds of a step, by turns, over this machine's link."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from mmseg_infopro.local.carried import Carried
from mmseg_infopro.parallel.ahead_link import AheadLink
from mmseg_infopro.parallel.link import Link
from mmseg_infopro.parallel.watch import Watch
from mmseg_infopro.upstream import job_store
from tests.parallel.processes import run_processes

ROUNDS, STEPS = 5, 12
BORDER = (2, 64, 128, 128)
"""8 MiB."""
COMPUTE = 0.06
"""Seconds of a module in each process."""


def seconds(rank: int, kind: type[Link], number: int) -> tuple[float, list[float]]:
    """Return the seconds of a step, and the sums of what was received."""
    watch = Watch(PrefixStore(f'speed {number}', job_store()), [0, 1], rank, timeout=60)
    link = kind([0, 1], rank, dist.group.WORLD, dist.new_group(backend='gloo'), watch)
    image = torch.zeros(()).expand(2, 3, 512, 512)
    sums: list[float] = []
    begins: list[float] = []
    for step in range(STEPS):
        begins.append(time.monotonic())
        carried = Carried(torch.full(BORDER, float(step)), image, [])
        if rank:
            carried = link.receive(Carried(image, image, []), SimpleNamespace(units=tuple))
            sums.append(float(carried.state.sum()))
        compute()
        if not rank:
            link.send(carried)
    link.finish()
    return (time.monotonic() - begins[2]) / (STEPS - 2), sums


def compute() -> None:
    end, matrix = time.monotonic() + COMPUTE, torch.ones(256, 256)
    while time.monotonic() < end:
        matrix = matrix @ matrix * 0


def race(rank: int) -> dict[str, Any]:
    kinds = {'ahead': AheadLink, 'when needed': Link}
    found: dict[str, Any] = {name: [] for name in kinds}
    for number in range(ROUNDS):
        for name, kind in kinds.items():
            found[name].append(seconds(rank, kind, 2 * number + (kind is Link)))
    return found


@pytest.mark.campaign
def test_what_is_asked_for_ahead_travels_meanwhile(tmp_path: Path) -> None:
    found = run_processes(tmp_path, race)[1]
    numel = torch.Size(BORDER).numel()
    for turns in found.values():
        assert all(sums == [step * numel for step in range(STEPS)] for _, sums in turns)
    for name, turns in found.items():
        each = [1000 * taken for taken, _ in turns]
        print(f'\n{name}: {median(each):.1f} ms a step, {min(each):.1f} to {max(each):.1f}', end='')
