import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.runner import Runner, find_latest_checkpoint, save_checkpoint

import mmseg_infopro.files.whole

ATOMIC = dict(backend='atomic')


class DiskFull(Exception):
    pass


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write to a file stops in the middle."""
    original = Path.open

    class HalfFile(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            super().write(data[: len(data) // 2])
            raise DiskFull('no space left')

    def half_open(self: Path, mode: str = 'r', *args: object) -> object:
        return HalfFile(self, mode) if 'w' in mode else original(self, mode, *args)

    monkeypatch.setattr(Path, 'open', half_open)


def test_checkpoint_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'a.pth'
    save_checkpoint(dict(a=torch.ones(3)), str(path), backend_args=ATOMIC)
    assert torch.equal(torch.load(path, weights_only=True)['a'], torch.ones(3))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.usefixtures('full_disk')
def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match='no space left'):
        get_file_backend(backend_args=ATOMIC).put(b'12345678', tmp_path / 'a.pth')
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / 'a.pth'
    path.write_bytes(b'old')
    request.getfixturevalue('full_disk')
    with pytest.raises(DiskFull, match='no space left'):
        get_file_backend(backend_args=ATOMIC).put(b'12345678', path)
    assert path.read_bytes() == b'old'


def test_failed_save_leaves_the_previous_checkpoint_to_resume(
    build_runner: Callable[..., Runner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = build_runner(tmp_path)
    replace = mmseg_infopro.files.whole.os.replace

    def fail_at_the_end(source: Path, target: Path) -> None:
        if target.name == 'iter_6.pth':
            raise DiskFull('no space left')
        replace(source, target)

    monkeypatch.setattr('mmseg_infopro.files.whole.os.replace', fail_at_the_end)
    with pytest.raises(DiskFull, match='no space left'):
        runner.train()
    assert [path.name for path in tmp_path.glob('iter_*')] == ['iter_3.pth']
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / 'iter_3.pth')


def test_checkpoint_hook_keeps_best_and_newest(
    build_runner: Callable[..., Runner], tmp_path: Path
) -> None:
    checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=1, save_best='mIoU',
        backend_args=ATOMIC,
    )  # fmt: skip
    build_runner(tmp_path, val_interval=3, default_hooks=dict(checkpoint=checkpoint)).train()
    best, newest = sorted(path.name for path in tmp_path.iterdir() if 'iter' in path.name)
    assert best in ('best_mIoU_iter_3.pth', 'best_mIoU_iter_6.pth')
    assert (newest, find_latest_checkpoint(str(tmp_path))) == (
        'iter_6.pth',
        str(tmp_path / 'iter_6.pth'),
    )
