"""Gloo processes for tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.registry import DefaultScope

NUM_PROCESSES = 2
Work = Callable[..., dict[str, Any]]


def run_processes(
    folder: Path, work: Work, *args: Any, number: int = NUM_PROCESSES
) -> list[dict[str, Any]]:
    """Return what ``work(rank, *args)`` returns in each of two processes, or of another number.

    Starting them takes longer than most work: do everything in one go.
    """
    mp.spawn(_run, args=(folder, work, args, number), nprocs=number)
    return [torch.load(folder / f'{rank}.pth') for rank in range(number)]


def _run(rank: int, folder: Path, work: Work, args: tuple[Any, ...], number: int) -> None:
    torch.set_num_threads(1)
    timeout = timedelta(seconds=60)  # what hangs fails
    dist.distributed_c10d.default_pg_timeout = timeout  # of further groups
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=number,
        timeout=timeout,
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        torch.save(work(rank, *args), folder / f'{rank}.pth')
    dist.barrier()
    dist.destroy_process_group()
