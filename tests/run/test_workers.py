"""Processes that load data outlive what ends their run: it needs them to finish its step."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader, Dataset

from mmseg_infopro.hooks.stopping import SIGNALS
from mmseg_infopro.run.runner import InfoProRunner

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT)}


class Slow(Dataset):
    """Is slow enough that samples are still to be loaded when the signal comes."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        time.sleep(0.1)
        return torch.tensor([index, torch.initial_seed() % 2**32])


def seen_values(context, number, monkeypatch):
    """Return the samples' numbers, with a signal to the workers once both have loaded."""
    monkeypatch.setitem(DATASETS._module_dict, 'Slow', Slow)
    cfg = dict(
        batch_size=1,
        num_workers=2,
        multiprocessing_context=context,
        dataset=dict(type='Slow', _scope_='mmengine'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    loader = InfoProRunner.build_dataloader(cfg, seed=3)
    values = []
    iterator = iter(loader)
    for batch in iterator:
        values.append(int(batch[0, 0]))
        if len(values) == 2:
            for worker in iterator._workers:
                os.kill(worker.pid, number)
    return values


@pytest.mark.parametrize('number', SIGNALS)
@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_a_signal_does_not_end_them(context, number, monkeypatch):
    assert seen_values(context, number, monkeypatch) == list(range(12))


@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_the_end_of_the_run_ends_them(context, tmp_path):
    script = tmp_path / 'run.py'
    script.write_text(
        'from mmseg_infopro.run.runner import InfoProRunner\n'
        'from mmengine.registry import DATASETS\n'
        'from tests.run.test_workers import Slow\n'
        'if __name__ == "__main__":\n'
        '    DATASETS.register_module(module=Slow)\n'
        '    loader = InfoProRunner.build_dataloader(dict(\n'
        '        batch_size=1, num_workers=2, persistent_workers=True,\n'
        f'        multiprocessing_context={context!r},\n'
        '        dataset=dict(type="Slow", _scope_="mmengine"),\n'
        '        sampler=dict(type="DefaultSampler", shuffle=False)))\n'
        '    iterator = iter(loader)\n'
        '    next(iterator)\n'
        '    loader.itself = loader  # nothing collects it\n'
        '    import gc; gc.disable()\n'
    )
    subprocess.run([sys.executable, script], check=True, timeout=120, cwd=ROOT, env=ENVIRONMENT)


def test_torch_alone_would_lose_them():
    loader = DataLoader(Slow(), batch_size=1, num_workers=2)
    iterator = iter(loader)
    next(iterator)
    for worker in iterator._workers:
        os.kill(worker.pid, signal.SIGTERM)
    with pytest.raises(RuntimeError, match='exited unexpectedly'):
        list(iterator)


def test_the_runs_seed_still_reaches_them(monkeypatch):
    monkeypatch.setitem(DATASETS._module_dict, 'Slow', Slow)
    loader = InfoProRunner.build_dataloader(
        dict(
            batch_size=1,
            num_workers=1,
            dataset=dict(type='Slow', _scope_='mmengine'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        seed=3,
    )
    assert loader.worker_init_fn.begin.keywords['seed'] == 3
