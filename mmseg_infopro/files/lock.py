"""A folder that one run has to itself, and that a dead run does not keep."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

NAME = 'run.lock'
HEARTBEAT = 15.0
"""Seconds between two signs of life."""
DEAD_AFTER = 120.0
"""Seconds without one after which another machine takes the folder over."""


@dataclass(frozen=True)
class Owner:
    """Who holds a folder.

    Attributes:
        host: The machine's name.
        boot: What tells machines and containers of one name apart, and restarts of one.
        pid: The process.
        started: When it started, in the machine's ticks: numbers of processes are used again.
        job: Of Slurm, with the number of its restarts.
        token: Another one for each run.
    """

    host: str
    boot: str
    pid: int
    started: str
    job: str
    restarts: int
    token: str


class FolderInUseError(ValueError):
    """A run that is alive holds the folder."""


def this_process(environment: Mapping[str, str] = os.environ) -> Owner:
    """Return this process as an owner."""
    return Owner(
        host=socket.gethostname(),
        boot=_boot(),
        pid=os.getpid(),
        started=_start_of(os.getpid()) or '',
        job=environment.get('SLURM_JOB_ID', ''),
        restarts=int(environment.get('SLURM_RESTART_COUNT') or 0),
        token=secrets.token_hex(8),
    )


def is_dead(owner: Owner, me: Owner, silence: float) -> bool:
    """Whether the owner of a lock cannot be running any more.

    On the same machine its process tells; a Slurm job that was requeued has ended before; of
    another machine only its signs of life are known.

    Args:
        owner: Who holds it.
        me: Who asks.
        silence: Seconds since its last sign of life.
    """
    if owner.job and (owner.job, owner.restarts) < (me.job, me.restarts) and owner.job == me.job:
        return True
    if (owner.host, owner.boot) == (me.host, me.boot):
        return _start_of(owner.pid) != owner.started
    return silence > DEAD_AFTER


@contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Hold a folder for the time of a block; other runs are refused, of any machine that sees it.

    The lock is a file with the owner's host, process and heartbeat. A dead owner's is taken over.

    Raises:
        FolderInUseError: A run that is alive holds it.
    """
    file, me = Path(folder, NAME), this_process()
    file.parent.mkdir(parents=True, exist_ok=True)
    _take(file, me)
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


def _take(file: Path, me: Owner) -> None:
    content = json.dumps(asdict(me)).encode()
    for _ in range(5):
        try:
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _remove_dead(file, me)
            continue
        with os.fdopen(handle, 'wb') as lock:
            lock.write(content)
            lock.flush()
            os.fsync(handle)
        return
    raise FolderInUseError(f'{file.parent} is being taken by another run ({_describe(file)})')


def _remove_dead(file: Path, me: Owner) -> None:
    """Remove a lock whose owner is dead.

    Raises:
        FolderInUseError: It is alive.
    """
    owner, silence = _read(file), _silence(file)
    if owner is None and silence < HEARTBEAT:  # about to be written
        time.sleep(0.2)
        owner = _read(file)
    dead = silence > HEARTBEAT if owner is None else is_dead(owner, me, silence)
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


def _boot() -> str:
    boot, space = Path('/proc/sys/kernel/random/boot_id'), Path('/proc/self/ns/pid')
    return ' '.join(
        [
            boot.read_text().strip() if boot.exists() else '',
            os.readlink(space) if space.is_symlink() else '',
        ]
    )


def _start_of(pid: int) -> str | None:
    """Return when a process started; '' where that is not known, None if it does not run."""
    stat = Path('/proc', str(pid), 'stat')
    if Path('/proc/self/stat').exists():
        try:
            state, *values = stat.read_text().rpartition(')')[2].split()
        except (OSError, ValueError):
            return None
        return None if state in 'ZX' else values[18]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ''
