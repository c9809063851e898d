"""What every method is combined with, tried on one tiny network: it works, or it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope

from ..config.build import build_model
from ..config.resolve import resolve
from ..config.step import dry_config_steps, step_shape
from ..local.clock import at_iteration
from ..measure.dry_step import without_accelerator
from ..parallel.local_data_parallel import LocalDataParallel
from ..planning.batch import StepShape

WORKS = 'works'
NUM_STEPS = 4
"""Iterations of a trial; those of the configs' schedules are shares of them."""

Check = Callable[[Config], None]


class Differs(AssertionError):
    """A combination runs, but not as it must."""


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


def make_batch(shape: StepShape, seed: int) -> dict[str, Any]:
    """Return a batch of random images and labels."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(shape.batch_size):
        label = torch.randint(0, 3, (1, *shape.crop), generator=generator)
        sample = SegDataSample(metainfo=dict(img_shape=shape.crop, ori_shape=shape.crop))
        sample.gt_sem_seg = PixelData(data=label)
        samples.append(sample)
    images = [
        torch.randint(0, 256, (3, *shape.crop), generator=generator, dtype=torch.uint8)
        for _ in range(shape.batch_size)
    ]
    return dict(inputs=images, data_samples=samples)


class Run:
    """A model in training, without a Runner.

    Args:
        cfg: Its config.
        wrapper: Changes to ``optim_wrapper``.
        local: Changes to ``model.local``.
    """

    def __init__(self, cfg: Config, wrapper: dict[str, Any] | None = None, **local: Any) -> None:
        self.cfg = deepcopy(cfg)
        self.cfg.model.local.update(local)
        self.cfg.optim_wrapper.update(wrapper or {})
        with quiet_generators():
            torch.manual_seed(0)
            self.model = build_model(self.cfg.model)
        self.model.train()
        settings = without_accelerator(self.cfg.optim_wrapper)
        self.optim_wrapper: OptimWrapper = build_optim_wrapper(self.model, settings)

    def train(self, iterations: Sequence[int] = range(NUM_STEPS), wrapped: Any = None) -> Run:
        """Take some steps, each with its own random numbers.

        Raises:
            Differs: A loss or a weight is not finite.
        """
        for iteration in iterations:
            batch = make_batch(step_shape(self.cfg), iteration)
            torch.manual_seed(iteration)
            with at_iteration(iteration):
                log = (wrapped or self.model).train_step(batch, self.optim_wrapper)
            if not log['loss'].isfinite():
                raise Differs(f'the loss of iteration {iteration} is {log["loss"].item()}')
        for name, value in self.model.state_dict().items():
            if not value.isfinite().all():
                raise Differs(f'{name} is not finite')
        return self

    def must_equal(self, other: Run) -> None:
        """Check that two runs ended with the same weights, bit for bit.

        Raises:
            Differs: They did not.
        """
        mine, others = self.model.state_dict(), other.model.state_dict()
        for name in mine:
            if not torch.equal(mine[name], others[name]):
                raise Differs(f'{name} is another')


@contextmanager
def quiet_generators() -> Iterator[None]:
    """Context that leaves torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        yield


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
        mp.spawn(_in_process, args=(folder, texts), nprocs=2)
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
