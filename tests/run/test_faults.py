"""Faults of machines, files and other processes as a sentence."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from mmseg_infopro.run.faults import FaultError, explain_fault, explained_faults


class Failing(Dataset):
    """Fails in a process that loads data."""

    def __init__(self, fail: Callable[[], object]) -> None:
        self.fail = fail

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        self.fail()
        return index


def refuse() -> None:
    raise ValueError('the mask a.png holds the id 77; valid are 0 to 18')


def lookup() -> None:
    {}['b.png']


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ('fail', 'sentence'),
    [
        (refuse, r'^the mask a\.png holds the id 77; valid are 0 to 18\. No checkpoint had been'),
        (lookup, r"^a process that loads data failed: KeyError: 'b\.png'; its traceback is in"),
        (die, r'^a process that loads data ended \(\d+ .*set fewer train_dataloader\.num_workers'),
    ],
)
def test_errors_of_workers_are_a_sentence(
    tmp_path: Path, fail: Callable[[], object], sentence: str
) -> None:
    cfg = Config(dict(work_dir=str(tmp_path)))
    with pytest.raises(FaultError, match=sentence) as raised, explained_faults(cfg):
        next(iter(DataLoader(Failing(fail), num_workers=1)))
    assert '\n' not in str(raised.value)


def test_what_is_intact_is_said(tmp_path: Path) -> None:
    (tmp_path / 'iter_4.pth').touch()
    full = OSError(errno.ENOSPC, 'No space left on device', 'run/iter_8.pth')
    message = (
        r'the disk has no room, writing run/iter_8\.pth \(No space left on device\)\. '
        r'The last checkpoint, .*iter_4\.pth, is as it was: go on from it with --resume$'
    )
    with (
        pytest.raises(FaultError, match=message),
        explained_faults(Config(dict(work_dir=str(tmp_path)))),
    ):
        raise full


def test_memory_of_the_host() -> None:
    assert explain_fault(MemoryError()) == "the host's memory does not suffice"
    try:
        torch.empty(2**58, dtype=torch.uint8)
    except RuntimeError as error:
        assert 'does not suffice for another 288,230,376,151,711,744 bytes' in str(
            explain_fault(error)
        )


@pytest.mark.parametrize('error', [ValueError('a'), OSError(2, 'b'), RuntimeError('c')])
def test_other_errors_stay(error: Exception) -> None:
    assert explain_fault(error) is None


def test_the_loss_of_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'none')
    cfg, message = Config(dict(work_dir=str(tmp_path))), 'another process of the run has ended'
    with pytest.raises(FaultError, match=message) as raised, explained_faults(cfg):
        raise RuntimeError('[gloo/pair.cc:534] Connection closed by peer [127.0.0.1]:1')
    assert raised.value.said_elsewhere
