"""Ways to use some processes of this machine, by turns: how fast each is, and what it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch.multiprocessing.spawn import spawn

from ...planning.simulation.data_parallel import data_parallel
from ...planning.simulation.links import Link
from ...planning.simulation.local_pipeline import local_pipeline
from ...planning.simulation.stages import Stage
from .turns import (
    APART,
    DATA_PARALLEL,
    END_TO_END,
    LINK,
    LINK_BYTES,
    PIPELINE,
    WAYS,
    Racer,
    Turn,
)

Turns = Mapping[str, Sequence[Sequence[Turn]]]
"""By way, the turns of each round, one of each process."""


def race(local: Config, plain: Config, num_rounds: int, num_steps: int) -> Turns:
    """Take steps in all ways, round after round, so that drifts of the machine hit all alike.

    Args:
        local: A resolved config of K local modules, which has K processes of one thread, or GPUs.
        plain: The same end to end.
        num_rounds: Turns of each way.
        num_steps: That count in a turn.
    """
    num_processes = len(local.model.local.boundaries) + 1
    with TemporaryDirectory() as folder:
        arguments = (num_processes, folder, local, plain, num_rounds, num_steps)
        spawn(_process, args=arguments, nprocs=num_processes)
        files = [Path(folder, f'{rank}.json') for rank in range(num_processes)]
        everyones = [json.loads(file.read_text()) for file in files]
    return {
        way: [
            [Turn(**everyones[rank][number][way]) for rank in range(num_processes)]
            for number in range(num_rounds)
        ]
        for way in WAYS
    }


def race_device(num_processes: int) -> str:
    """Return ``'cuda'`` where each process gets a GPU of its own, else ``'cpu'``."""
    return 'cuda' if torch.cuda.device_count() >= num_processes else 'cpu'


def _process(
    rank: int,
    num_processes: int,
    folder: str,
    local: Config,
    plain: Config,
    num_rounds: int,
    num_steps: int,
) -> None:
    device = race_device(num_processes)
    if device == 'cuda':
        torch.cuda.set_device(rank)
    torch.set_num_threads(1)
    dist.init_process_group(
        'nccl' if device == 'cuda' else 'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=num_processes,
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        racer = Racer(local, plain, num_steps, device)
        rounds = [{way: racer.take(way).as_plain() for way in WAYS} for _ in range(num_rounds)]
    Path(folder, f'{rank}.json').write_text(json.dumps(rounds))
    dist.barrier()
    dist.destroy_process_group()


@dataclass(frozen=True)
class RaceRow:
    """What a way did.

    Attributes:
        way: Its name.
        images_per_second: The median of the rounds.
        rounds: That of each.
        grown_bytes: By which each process grew, in the round in which it did least.
        simulated: Images per second that are predicted from the turns of modules side by side, or
            of one process, and from the link; None where there is nothing to predict.
    """

    way: str
    images_per_second: float
    rounds: tuple[float, ...]
    grown_bytes: tuple[int | None, ...]
    simulated: float | None = None


def race_rows(turns: Turns, batch_size: int, in_flight: int, gradient_bytes: int) -> list[RaceRow]:
    """Return what each way did, and what the simulation says of those of several processes.

    Args:
        turns: Of :func:`race`.
        batch_size: Images of a batch.
        in_flight: ``local.in_flight``.
        gradient_bytes: Of end-to-end training.
    """
    link = measured_link(turns)
    simulated = {
        PIPELINE: local_pipeline(measured_stages(turns), batch_size, link, in_flight),
        DATA_PARALLEL: data_parallel(
            [Stage(0.0, _median_seconds(turns, END_TO_END), gradient_bytes=gradient_bytes)],
            batch_size,
            len(turns[LINK][0]),
            link,
        ),
    }
    rows = []
    for way in WAYS:
        if way == LINK:
            continue
        rounds = tuple(batch_size * _batches_per_second(way, found) for found in turns[way])
        outcome = simulated.get(way)
        predicted = None if outcome is None else outcome.images_per_second
        rows.append(RaceRow(way, median(rounds), rounds, _grown(turns[way]), predicted))
    return rows


def measured_stages(turns: Turns) -> list[Stage]:
    """Return what the modules took side by side."""
    stages = []
    for rank in range(len(turns[APART][0])):
        own = [found[rank] for found in turns[APART]]
        forward = (
            median(value for turn in own for value in turn.forwards)
            if rank < len(turns[APART][0]) - 1
            else 0.0
        )
        seconds = median(value for turn in own for value in _seconds(turn))
        passed = turns[PIPELINE][0][rank + 1 :][:1]
        border = passed[0].border_bytes if passed else 0
        stages.append(Stage(forward, seconds - forward, border_bytes=border))
    return stages


def measured_link(turns: Turns) -> Link:
    """Return what the processes exchange bytes by."""
    seconds = median(s for found in turns[LINK] for s in _seconds(found[1]))
    return Link('between processes', LINK_BYTES / seconds, source='measured')


def _batches_per_second(way: str, turns: Sequence[Turn]) -> float:
    """Return what all processes do in a second; the last one of a pipeline ends its batches."""
    rates = [_rate(turn) for turn in turns if turn.ends]
    if way == DATA_PARALLEL:
        return sum(rates)
    return rates[-1] if way == PIPELINE else min(rates)


def _rate(turn: Turn) -> float:
    return len(turn.ends) / (turn.ends[-1] - turn.begins[0])


def _median_seconds(turns: Turns, way: str) -> float:
    return median(value for found in turns[way] for turn in found for value in _seconds(turn))


def _seconds(turn: Turn) -> list[float]:
    return [end - begin for begin, end in zip(turn.begins, turn.ends, strict=True)]


def _grown(rounds: Sequence[Sequence[Turn]]) -> tuple[int | None, ...]:
    found = []
    for rank, first in enumerate(rounds[0]):
        sizes = [turns[rank].grown_bytes for turns in rounds]
        known = [size for size in sizes if size is not None]
        found.append(min(known) if known and first.ends else None)
    return tuple(found)
