"""One run, one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmseg_infopro.files import lock
from mmseg_infopro.files.lock import NAME, FolderInUseError, check_still_held, folder_lock
from mmseg_infopro.files.owner import DEAD_AFTER, is_dead, this_process

ME = this_process({})
HOLDS = """
import os, sys, time
from mmseg_infopro.files.lock import folder_lock
with folder_lock(sys.argv[1]):
    print('held', flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        with (
            pytest.raises(FolderInUseError, match=rf'in use by another run \(process {ME.pid} on'),
            folder_lock(tmp_path),
        ):
            pass
        check_still_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with folder_lock(tmp_path):
        pass


def test_a_killed_runs_folder_is_taken_over_at_once(tmp_path: Path) -> None:
    command = [sys.executable, '-c', HOLDS, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == 'held\n'
    with pytest.raises(FolderInUseError, match=f'process {holder.pid}'), folder_lock(tmp_path):
        pass
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie is dead, too
    with folder_lock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [NAME]
    holder.wait()
    holder.stdout.close()


@pytest.mark.parametrize(
    ('changes', 'silence', 'dead'),
    [
        (dict(), 9999, False),
        (dict(started='another'), 0, True),
        (dict(pid=2**22 + 1), 0, True),
        (dict(host='other'), DEAD_AFTER - 1, False),
        (dict(host='other'), DEAD_AFTER + 1, True),
        (dict(boot='before'), 0, False),
        (dict(boot='before'), DEAD_AFTER + 1, True),
        (dict(host='other', job='7'), 0, True),
        (dict(host='other', job='7', restarts=1), 0, False),
        (dict(host='other', job='8'), 0, False),
    ],
)
def test_who_is_dead(changes: dict[str, Any], silence: float, dead: bool) -> None:
    me = replace(ME, job='7', restarts=1)
    assert is_dead(replace(ME, **changes), me, silence) == dead


def test_a_run_that_was_taken_over_writes_no_more(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        (tmp_path / NAME).unlink()
        check_still_held(tmp_path)  # a file system that lost it is no other run
        lock._take(tmp_path / NAME, replace(ME, host='other', token='t'))
        with pytest.raises(FolderInUseError, match=r'taken over by another run \(process \d+ on o'):
            check_still_held(tmp_path)
    assert (tmp_path / NAME).exists()


def test_a_lock_that_was_cut_off_counts_for_a_moment_only(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    with pytest.raises(FolderInUseError, match='in use'), folder_lock(tmp_path):
        pass
    os.utime(tmp_path / NAME, (1, 1))
    with folder_lock(tmp_path):
        pass


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, 'HEARTBEAT', 0.01)
    with folder_lock(tmp_path):
        os.utime(tmp_path / NAME, (1, 1))
        for _ in range(500):
            if (tmp_path / NAME).stat().st_mtime > 1:
                break
            lock.time.sleep(0.01)
        assert (tmp_path / NAME).stat().st_mtime > 1


@pytest.mark.parametrize('alive', [False, True])
def test_another_machine_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    lock._take(tmp_path / NAME, replace(ME, host='other'))
    silences = iter([50.0, 60.0, 3.0 if alive else 121.0])
    monkeypatch.setattr(lock, '_silence', lambda file: next(silences))
    monkeypatch.setattr(lock.time, 'sleep', lambda seconds: None)
    said: list[str] = []
    if alive:
        with pytest.raises(FolderInUseError, match='on other'), folder_lock(tmp_path, said.append):
            pass
    else:
        with folder_lock(tmp_path, said.append):
            pass
    assert 'waiting for a sign of life' in said[0]


def test_a_new_folder_that_stays_empty_goes(tmp_path: Path) -> None:
    with folder_lock(tmp_path / 'new'):
        pass
    assert list(tmp_path.iterdir()) == []
