"""A folder that one run has to itself, and that a dead run does not keep."""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from .owner import DEAD_AFTER, Owner, is_dead, this_process

NAME = 'run.lock'
HEARTBEAT = 15.0
"""Seconds between two signs of life."""
PATIENCE = 3 * HEARTBEAT
"""Seconds without one after which whoever wants the folder waits for the next one."""


class FolderInUseError(ValueError):
    """A run that is alive holds the folder."""


@contextmanager
def folder_lock(folder: str | Path, say: Callable[[str], None] = print) -> Iterator[None]:
    """Hold a folder for the time of a block; other runs are refused, of any machine that sees it.

    The lock is a file with the owner's host, process and heartbeat. A dead owner's is taken over;
    of one on another machine, this waits for a sign of life.

    Raises:
        FolderInUseError: A run that is alive holds it.
    """
    file, me = Path(folder, NAME), this_process()
    is_new = not file.parent.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    _take(file, me, say)
    _held[file.resolve()] = me.token
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, me.token, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        _held.pop(file.resolve(), None)
        if _token(file) == me.token:
            file.unlink(missing_ok=True)
        if is_new and not any(file.parent.iterdir()):
            file.parent.rmdir()


_held: dict[Path, str] = {}


def check_still_held(folder: str | Path) -> None:
    """Check, before something is written there, that nobody has taken a held folder over.

    Raises:
        FolderInUseError: It was taken over: this process had not shown a sign of life for long.
    """
    file = Path(folder, NAME).resolve()
    token = _held.get(file)
    if token is not None and _token(file) not in (token, None):
        raise FolderInUseError(
            f'{file.parent} was taken over by another run ({_describe(file)}), because this one '
            f'gave no sign of life for {DEAD_AFTER:.0f} s: it writes nothing more'
        )


def _take(file: Path, me: Owner, say: Callable[[str], None] = print) -> None:
    content = json.dumps(asdict(me)).encode()
    for _ in range(5):
        try:
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _remove_dead(file, me, say)
            continue
        with os.fdopen(handle, 'wb') as lock:
            lock.write(content)
            lock.flush()
            os.fsync(handle)
        return
    raise FolderInUseError(f'{file.parent} is being taken by another run ({_describe(file)})')


def _remove_dead(file: Path, me: Owner, say: Callable[[str], None]) -> None:
    """Remove a lock whose owner is dead.

    Raises:
        FolderInUseError: It is alive.
    """
    owner, silence = _read(file), _silence(file)
    if owner is None and silence < HEARTBEAT:  # about to be written
        time.sleep(0.2)
        owner = _read(file)
    if owner is None:
        dead = silence > HEARTBEAT
    else:
        dead = is_dead(owner, me, silence)
        elsewhere = (owner.host, owner.boot) != (me.host, me.boot)
        if not dead and elsewhere and silence > PATIENCE:
            say(f'{file.parent} is held by {_describe(file)}: waiting for a sign of life')
            dead = _stays_silent(file, silence)
    if not dead:
        raise FolderInUseError(
            f'{file.parent} is in use by another run ({_describe(file)}): wait for its end, or '
            f'name another directory with --work-dir. If it is dead, its lock counts no more '
            f'{DEAD_AFTER:.0f} s after its last sign of life'
        )
    grave = file.with_name(f'{file.name}.{me.token}')
    try:
        os.rename(file, grave)
    except FileNotFoundError:
        return
    buried = _read(grave)
    if buried != owner and buried is not None and not file.exists():
        os.rename(grave, file)  # another run was faster: this is its new lock
        return
    grave.unlink(missing_ok=True)


def _stays_silent(file: Path, silence: float) -> bool:
    """Wait until a lock's owner shows that it is alive, or has been silent for long enough."""
    while (now := _silence(file)) >= 0 and now >= silence:
        if now > DEAD_AFTER:
            return True
        silence = now
        time.sleep(1)
    return False


def _beat(file: Path, token: str, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT):
        try:
            if _token(file) == token:
                os.utime(file)
        except OSError:  # a file system that is away for a while
            continue


def _silence(file: Path) -> float:
    """Return the seconds since a lock's last sign of life, by the clock of its file system."""
    probe = file.with_name(f'{file.name}.{secrets.token_hex(4)}.partial')
    try:
        probe.touch()
        return probe.stat().st_mtime - file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _read(file: Path) -> Owner | None:
    try:
        content = json.loads(file.read_text())
        return Owner(**{field.name: content[field.name] for field in fields(Owner)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _token(file: Path) -> str | None:
    owner = _read(file)
    return None if owner is None else owner.token


def _describe(file: Path) -> str:
    owner = _read(file)
    if owner is None:
        return str(file)
    job = f', Slurm job {owner.job}' if owner.job else ''
    return f'process {owner.pid} on {owner.host}{job}'
