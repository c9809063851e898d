"""Who holds a folder, and whether that can still be running."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    if owner.job and owner.job == me.job and owner.restarts < me.restarts:
        return True
    if (owner.host, owner.boot) == (me.host, me.boot):
        return _start_of(owner.pid) != owner.started
    return silence > DEAD_AFTER


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
