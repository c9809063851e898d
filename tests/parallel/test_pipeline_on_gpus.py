"""The same pipelines over NCCL, one GPU for each module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.registry import DefaultScope

from mmseg_infopro.parallel import ModuleParallel
from tests.parallel.pipelines import CASES, take_steps

STEPS = 4
NUM_MODULES = 2


def work(rank: int, folder: Path) -> None:
    torch.cuda.set_device(rank)
    torch.backends.cudnn.deterministic = True
    init = f'file://{folder}/rendezvous'
    dist.init_process_group('nccl', init_method=init, rank=rank, world_size=NUM_MODULES)
    with DefaultScope.overwrite_default_scope('mmseg'):
        found = {}
        for name in ('resnet', 'segformer'):
            wrapper = ModuleParallel(CASES[name].model(NUM_MODULES).cuda(), timeout=60)
            found[name] = trained(wrapper, name)
            wrapper.link.finish()
    torch.save(found, folder / f'{rank}.pth')
    dist.barrier()
    dist.destroy_process_group()


def trained(model: Any, name: str) -> dict[str, Any]:
    optim_wrapper = CASES[name].optim_wrapper(getattr(model, 'module', model))
    take_steps(model, optim_wrapper, CASES[name], STEPS)
    state = getattr(model, 'module', model).state_dict()
    return {key: value.cpu() for key, value in state.items() if not value.is_meta}


@pytest.mark.cuda
def test_weights_are_those_of_one_gpu(tmp_path: Path) -> None:
    if torch.cuda.device_count() < NUM_MODULES:
        pytest.skip(f'needs {NUM_MODULES} GPUs, and torch finds {torch.cuda.device_count()}')
    mp.spawn(work, args=(tmp_path,), nprocs=NUM_MODULES)
    parts = [torch.load(tmp_path / f'{rank}.pth') for rank in range(NUM_MODULES)]
    for name in ('resnet', 'segformer'):
        joined = {key: value for part in parts for key, value in part[name].items()}
        expected = trained(CASES[name].model(NUM_MODULES).cuda(), name)
        assert joined.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(joined[key], value, rtol=1e-4, atol=1e-5, msg=key)
