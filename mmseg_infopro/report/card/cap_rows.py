"""Training runs under a memory cap: one that it holds, and one that it breaks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config

import mmseg_infopro
from infopro.naming import new_process

from ...config.walk import type_name
from ...datasets.cityscapes_tree import inspect_tree, prepare_tree
from ...datasets.streets import StreetSettings, write_streets
from .tasks import Setup, Task

ROOT = Path(mmseg_infopro.__file__).parents[1]
CONFIGS = Path(mmseg_infopro.__file__).parent / '.mim/configs'
CONFIG = 'streets/infopro_deeplabv3_r18.py'
CAP = '4GiB'
NUM_ITERS = 110
"""The second of MemoryHook's intervals of 50, whose peak it compares, is over."""
TOO_SMALL = """
_base_ = '{base}'
custom_hooks = [
    dict(type='MemoryHook', memory_cap='1088MiB', margin='1GiB', predicted_bytes='64MiB')
]
"""
"""64 MiB are less than weights, gradients and the first maps take."""


def cap_tasks(setup: Setup) -> list[Task]:
    """Return the rows: training, as a user starts it, on generated scenes."""
    return [
        Task('cap', f'training within {CAP}', run_within, 120, needs_cuda=True),
        Task('cap', 'training beyond 64 MiB of tensors', run_beyond, 90, needs_cuda=True),
    ]


def run_within(cap: str = CAP, num_iters: int = NUM_ITERS) -> dict[str, Any]:
    """Train under a cap that something fits; return the peaks that the log has.

    Raises:
        RuntimeError: Training failed.
    """
    with TemporaryDirectory() as name:
        folder = _scenes(Path(name))
        outcome = _train(
            folder,
            f'mmseg_infopro::{CONFIG}',
            f'model.local.memory_cap={cap}',
            f'train_cfg.max_iters={num_iters}',
            f'train_cfg.val_interval={num_iters}',
            f'default_hooks.logger.interval={min(50, num_iters)}',
        )
        if outcome.returncode:
            raise RuntimeError(f'training failed: {outcome.stderr[-2000:]}')
        (dumped,) = (folder / 'run').glob('*.py')
        hooks = Config.fromfile(dumped).custom_hooks
        hook = next(hook for hook in hooks if type_name(hook) == 'MemoryHook')
        (scalars,) = (folder / 'run').glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in scalars.read_text().splitlines()]
        last = [line for line in lines if 'loss' in line][-1]
        return dict(
            cap=cap,
            predicted_mib=hook['predicted_bytes'] / 2**20,
            memory_mib=last.get('memory'),
            memory_reserved_mib=last.get('train/memory_reserved', last.get('memory_reserved')),
            loss=last['loss'],
            warnings=[line for line in outcome.stderr.splitlines() if 'predicted were' in line],
        )


def run_beyond() -> dict[str, Any]:
    """Train under a cap that nothing fits; return the sentence that a user gets.

    Raises:
        RuntimeError: There was none.
    """
    with TemporaryDirectory() as name:
        folder = _scenes(Path(name))
        config = folder / 'too_small.py'
        config.write_text(TOO_SMALL.format(base=CONFIGS / CONFIG))
        outcome = _train(folder, str(config), 'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
        lines = [line for line in outcome.stderr.splitlines() if line.startswith('error: ')]
        if outcome.returncode != 2 or not lines or 'out of GPU memory' not in lines[-1]:
            raise RuntimeError(
                f'no sentence, but status {outcome.returncode}: {outcome.stderr[-2000:]}'
            )
        return dict(sentence=lines[-1].removeprefix('error: '))


def _scenes(folder: Path) -> Path:
    root = folder / 'data/streets'
    root.parent.mkdir()
    write_streets(root, StreetSettings(train=16, val=2), workers=0)
    prepare_tree(inspect_tree(root).frames)
    return folder


def _train(folder: Path, config: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*new_process('train'), config, '--work-dir', 'run']
    return subprocess.run(
        [*command, '--cfg-options', *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
