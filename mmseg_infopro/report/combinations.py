"""What every method is combined with, tried on one tiny network: it works, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import DefaultScope
from torch import multiprocessing as mp

from ..config.resolve import resolve
from ..config.step import dry_config_steps, step_shape
from ..local.clock import at_iteration
from ..parallel.local_data_parallel import LocalDataParallel
from .tiny import NUM_STEPS, Differs, Run, make_batch

WORKS = 'works'
Check = Callable[[Config], None]


def try_all(
    cfgs: dict[str, Config], advance: Callable[[], None] = lambda: None
) -> dict[str, dict[str, str]]:
    """Return the cells of the table: by method, by what it is combined with.

    Args:
        cfgs: A local config of each method, with boundaries, for runs of :data:`NUM_STEPS`.
        advance: Called after each method.
    """
    table = {}
    for name, cfg in cfgs.items():
        table[name] = {title: _cell(check, deepcopy(cfg)) for title, check in CHECKS.items()}
        advance()
    in_pairs = _try_in_two_processes(cfgs)
    return {name: {**cells, '2 processes': in_pairs[name]} for name, cells in table.items()}


def _cell(check: Check, cfg: Config) -> str:
    try:
        with DefaultScope.overwrite_default_scope('mmseg'):
            check(cfg)
    except (ValueError, TypeError) as error:
        return f'refused: {error}'
    except Exception as error:
        return f'FAILS: {type(error).__name__}: {error}'
    return WORKS


def as_markdown(table: dict[str, dict[str, str]]) -> str:
    """Return the table, what is refused as a footnote with its reason."""
    titles = list(next(iter(table.values())))
    reasons: list[str] = []
    lines = [
        '# What every method combines with',
        '',
        'Made by `python tools/combinations.py --out docs/combinations.md`: each method, cut into',
        'three modules, takes four steps on one tiny network in each combination. Updates per',
        'module and recomputing must give the same weights bit for bit, a resume those of a',
        'straight run, two processes equal ones; a plan must stay within its cap.',
        '',
        f'| method | {" | ".join(titles)} |',
        f'|---|{"---|" * len(titles)}',
    ]
    for name, cells in table.items():
        shown = [_shown(cells[title], reasons) for title in titles]
        lines.append(f'| {name} | {" | ".join(shown)} |')
    lines += ['', *(f'{number}. {reason}' for number, reason in enumerate(reasons, start=1))]
    return '\n'.join(lines).rstrip() + '\n'


def _shown(cell: str, reasons: list[str]) -> str:
    if cell == WORKS:
        return cell
    if cell not in reasons:
        reasons.append(cell)
    return f'{cell.partition(":")[0]} ({reasons.index(cell) + 1})'


def _steps(cfg: Config) -> None:
    Run(cfg).train()


def _mixed_precision(cfg: Config) -> None:
    Run(cfg, dict(type='AmpOptimWrapper', dtype='bfloat16')).train()


def _accumulation(cfg: Config) -> None:
    Run(cfg, dict(accumulative_counts=2)).train()


def _clipping(cfg: Config) -> None:
    Run(cfg, dict(clip_grad=dict(max_norm=1.0))).train()


def _update_per_module(cfg: Config) -> None:
    Run(cfg, update_per_module=True).train().must_equal(Run(cfg).train())


def _recompute(cfg: Config) -> None:
    Run(cfg, recompute='cheap').train().must_equal(Run(cfg).train())


def _average_of_weights(cfg: Config) -> None:
    run = Run(cfg)
    average = ExponentialMovingAverage(run.model, momentum=0.5, update_buffers=True)
    run.train([0])
    average.update_parameters(run.model)
    average.module.eval()
    batch = make_batch(step_shape(cfg), 0)
    with torch.no_grad():
        average.module.test_step(batch)


def _resume(cfg: Config) -> None:
    straight, first = Run(cfg).train(), Run(cfg).train(range(2))
    resumed = Run(cfg)
    resumed.model.load_state_dict(deepcopy(first.model.state_dict()))
    resumed.optim_wrapper.load_state_dict(deepcopy(first.optim_wrapper.state_dict()))
    resumed.train(range(2, NUM_STEPS)).must_equal(straight)


def _planned_partition(cfg: Config) -> None:
    num_modules = len(cfg.model.local.pop('boundaries')) + 1
    cfg.model.local.num_modules = num_modules
    Run(resolve(cfg)).train()


def _cap(cfg: Config) -> None:
    peak = max(step.peak.total for step in dry_config_steps(cfg))
    cfg.model.local.pop('boundaries')
    cfg.model.local.update(memory_cap=2 * peak, memory_margin=0)
    found = resolve(cfg)
    if any(step.peak.total > 2 * peak for step in dry_config_steps(found)):
        raise Differs('the plan exceeds its cap')


CHECKS: dict[str, Check] = {
    'steps': _steps,
    'AMP': _mixed_precision,
    'accumulation': _accumulation,
    'clipping': _clipping,
    'update per module': _update_per_module,
    'recompute': _recompute,
    'EMA': _average_of_weights,
    'resume': _resume,
    'planned K': _planned_partition,
    'memory cap': _cap,
}
"""What is tried in one process, by the title of its column."""


def _try_in_two_processes(cfgs: dict[str, Config]) -> dict[str, str]:
    with TemporaryDirectory() as folder:
        texts = {name: cfg.to_dict() for name, cfg in cfgs.items()}
        mp.spawn(  # type: ignore[attr-defined]
            _in_process, args=(folder, texts), nprocs=2
        )
        return torch.load(Path(folder, 'cells.pth'))


def _in_process(rank: int, folder: str, texts: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    rendezvous = f'file://{folder}/rendezvous'
    dist.init_process_group('gloo', init_method=rendezvous, rank=rank, world_size=2)
    cells = {name: _cell(_data_parallel, Config(text)) for name, text in texts.items()}
    if rank == 0:
        torch.save(cells, Path(folder, 'cells.pth'))
    dist.barrier()
    dist.destroy_process_group()


def _data_parallel(cfg: Config) -> None:
    """Train on two processes with data of their own, and compare their parameters."""
    run = Run(cfg)
    wrapped = LocalDataParallel(run.model)
    offset = 100 * dist.get_rank()
    shape = step_shape(cfg)
    for iteration in range(NUM_STEPS):
        with at_iteration(iteration):
            wrapped.train_step(make_batch(shape, offset + iteration), run.optim_wrapper)
    mine = torch.cat([p.detach().flatten() for p in run.model.parameters()])
    theirs = mine.clone()
    dist.broadcast(theirs, 0)
    if not torch.equal(mine, theirs):
        raise Differs('the processes have other weights')
