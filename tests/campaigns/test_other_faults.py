"""A full disk, two runs in one folder, a rate that diverges: what was good stays, bit for bit."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.device import get_device

from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.campaigns.disk import Disk, small_disk
from tests.campaigns.forked import DEADLINE, Ended, Stop, _fork, train
from tests.campaigns.test_faults import BEST, PARTS, merged
from tests.hooks.test_exact_resume import assert_equal
from tests.tools.conftest import write_config

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(get_device() != 'cpu', reason='a process with a GPU cannot be forked'),
]
TIMES = 2
NO_ROOM = 'the disk has no room'
KINDS = {
    'plain': '',
    'one checkpoint': BEST + "default_hooks['checkpoint'].update(max_keep_ckpts=1)\n",
    'EMA': "custom_hooks = [dict(type='EMAHook')]\n",
}
DIVERGES = """
param_scheduler = [dict(type='StepLR', step_size={step}, gamma=1e12, by_epoch=False)]
"""
MANY = [('plain', 1), ('plain', 3), ('plain', 9), ('one checkpoint', 4), ('EMA', 5)]
"""Kinds of run, and iterations after which files cannot grow."""
Straight = Callable[[str], Path]


def prepare(folder: Path, streets: Path, changes: str) -> Path:
    """Write the config of a run of ten iterations, with changes."""
    config = write_config(folder, streets)
    text = config.read_text().replace('custom_hooks', 'custom_hooks_of_base')
    config.write_text(text + merged(changes))
    return config


@pytest.fixture(scope='module')
def straight(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """Returns the work dir of a run that nothing happened to, of each kind one."""

    @cache
    def of_kind(kind: str) -> Path:
        folder = tmp_path_factory.mktemp('straight')
        ended = run(prepare(folder, streets, KINDS[kind]), folder / 'run')
        assert ended.statuses == (0,), ended.output
        return folder / 'run'

    return of_kind


def run(config: Path, work_dir: Path, *more: object, stop: Stop | None = None) -> Ended:
    return train(config.parent, config, '--work-dir', work_dir, *more, stop=stop)


def regular(work_dir: Path) -> list[Path]:
    return sorted(work_dir.glob('iter_*.pth'), key=lambda path: int(path.stem[5:]))


def check_whole(work_dir: Path) -> int:
    """Check that every checkpoint opens, that none is half-written; return how many there are."""
    files = list(work_dir.glob('*.pth'))
    for path in files:
        check_checkpoint(path)
    assert not list(work_dir.glob('*.partial'))
    return len(files)


def check_same(one: Path, other: Path) -> None:
    """Check that two runs ended in the same weights, optimizer, averages and generators."""
    contents = [check_checkpoint(folder / 'iter_10.pth') for folder in (one, other)]
    for part in PARTS:
        assert_equal(*(content.get(part) for content in contents))


@pytest.mark.parametrize(('kind', 'steps'), MANY)
def test_files_that_cannot_grow(
    kind: str, steps: int, straight: Straight, streets: Path, tmp_path: Path
) -> None:
    """The system refuses every file of more than 100 kB from an iteration on."""
    config, work_dir = prepare(tmp_path, streets, KINDS[kind]), tmp_path / 'run'
    ended = run(config, work_dir, stop=Stop(steps=steps, max_bytes=100_000))
    assert ended.statuses == (2,), ended.output
    assert ended.output.count('error: ') == 1
    assert NO_ROOM in ended.output
    kept = check_whole(work_dir)
    last = [path.name for path in regular(work_dir)][-1:]
    assert last == ([f'iter_{steps // 2 * 2}.pth'] if steps > 1 else [])
    ended = run(config, work_dir, *(['--resume'] if last else []))
    assert ended.statuses == (0,), ended.output
    check_same(straight(kind), work_dir)
    print(f'faults: full disk, {kind}, after {steps} steps: {kept} files kept, 0 torn, bit for bit')


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / 'disk', 64 * 2**20) as found:
        yield found


@pytest.mark.parametrize('kind', KINDS)
def test_a_disk_that_is_full(
    kind: str, straight: Straight, streets: Path, tmp_path: Path, disk: Disk
) -> None:
    config, work_dir = prepare(tmp_path, streets, KINDS[kind]), disk.path / 'run'
    size = (straight(kind) / 'iter_10.pth').stat().st_size
    disk.fill(leave=int(2.5 * size))
    ended = run(config, work_dir)
    assert ended.statuses == (2,), ended.output
    assert ended.output.count('error: ') == 1
    assert NO_ROOM in ended.output
    kept = check_whole(work_dir)
    assert regular(work_dir), 'the checkpoints of before are gone'
    disk.free()
    ended = run(config, work_dir, '--resume')
    assert ended.statuses == (0,), ended.output
    check_same(straight(kind), work_dir)
    print(f'faults: full file system, {kind}: {kept} files kept, 0 torn, bit for bit')


@pytest.mark.parametrize('delay', [0.0, 0.05, 0.3, 1.0])
def test_two_runs_in_one_folder(
    delay: float, straight: Straight, streets: Path, tmp_path: Path
) -> None:
    """One trains as if it were alone; the other one says so."""
    config = prepare(tmp_path, streets, '')
    for number in range(TIMES):
        work_dir = tmp_path / f'run_{number}'
        outputs = [tmp_path / f'{name}_{number}' for name in ('first', 'second')]
        pids = []
        for output in outputs:
            pids.append(_fork([config, '--work-dir', work_dir], None, {}, output))
            time.sleep(delay)
        statuses = [ended(pid) for pid in pids]
        texts = [output.read_text() for output in outputs]
        assert sorted(statuses) == [0, 2], texts
        loser = texts[statuses.index(2)]
        assert 'is in use by another run' in loser
        assert loser.count('error: ') == 1
        check_whole(work_dir)
        check_same(straight('plain'), work_dir)
        assert not (work_dir / 'run.lock').exists()
    print(
        f'faults: two runs in one folder, {delay} s apart: one of them, bit for bit, {TIMES} times'
    )


def ended(pid: int) -> int:
    """Wait for a process, and return its status."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f'a run did not end in {DEADLINE} s')


@pytest.mark.parametrize(('kind', 'step'), [('plain', 3), ('one checkpoint', 4), ('EMA', 5)])
def test_a_rate_that_diverges(kind: str, step: int, streets: Path, tmp_path: Path) -> None:
    config = prepare(tmp_path, streets, KINDS[kind] + DIVERGES.format(step=step))
    work_dir = tmp_path / 'run'
    ended = run(config, work_dir)
    assert ended.statuses == (2,), ended.output
    (line,) = [line for line in ended.output.splitlines() if line.startswith('error: ')]
    assert 'the last good checkpoint is' in line
    files = list(work_dir.glob('*.pth'))
    assert regular(work_dir)
    for path in files:
        content = check_checkpoint(path)
        for part in ('state_dict', 'ema_state_dict'):
            weights = content.get(part) or {}
            broken = [name for name, item in weights.items() if not torch.isfinite(item).all()]
            assert broken == [], path.name
    print(f'faults: diverging after {step}, {kind}: {len(files)} checkpoints kept, all finite')
