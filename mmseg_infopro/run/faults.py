"""What machines and other processes do to a run, as a sentence: what is intact, how to go on."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config

from ..parallel.watch import LostProcessError
from .resume_point import regular_checkpoints

IN_WORKER = re.compile(r'Caught \w+ in \w+ worker process \d+\.')
ERROR_LINE = re.compile(r'([A-Za-z_][\w.]*): (.*)', re.DOTALL)
USER_ERRORS = ('ValueError', 'TypeError', 'OSError', 'FileNotFoundError', 'PermissionError')
WORKER_DIED = re.compile(r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (.*?)[.\s]*$', re.DOTALL)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PEER_GONE = re.compile(
    r'closed by peer|reset by peer|Socket closed|Broken pipe|remote process exited|'
    r'Connection refused|recvValue failed|Peer .* (left|failed)',
    re.IGNORECASE,
)
ALLOCATION = re.compile(r"can't allocate memory: you tried to allocate (\d+) bytes")


class FaultError(ValueError):
    """A fault of a machine, a file or another process ended a run."""

    said_elsewhere = False


@contextmanager
def explained_faults(cfg: Config) -> Iterator[None]:
    """Turn a fault that ends a run into a sentence on it and on the run's last checkpoint.

    Raises:
        FaultError: In place of what workers, the disk, the memory or other processes raised.
    """
    try:
        yield
    except Exception as error:
        sentence = explain_fault(error)
        if sentence is None:
            raise
        fault = FaultError(f'{sentence.rstrip(".")}. {_intact(cfg)}')
        # torchrun says which process ended first, and that one said why.
        fault.said_elsewhere = _peer_is_gone(error) and 'TORCHELASTIC_RUN_ID' in os.environ
        if isinstance(error, LostProcessError):  # the first to find out says it
            fault.said_elsewhere = error.said_elsewhere
        raise fault from error


def explain_fault(error: Exception) -> str | None:
    """Return a sentence on an error that is a fault; None for any other one."""
    text = str(error)
    if isinstance(error, LostProcessError):
        return text
    if IN_WORKER.match(text):
        return original_sentence(text)
    died = WORKER_DIED.search(text) if isinstance(error, RuntimeError) else None
    if died:
        shared = 'shared memory' in text or 'Bus error' in text
        what = "the host's shared memory (/dev/shm)" if shared else "the host's memory"
        return (
            f'a process that loads data ended ({died[1].strip()} {_first_line(died[2])}), most '
            f'often because {what} does not suffice: set fewer train_dataloader.num_workers, or '
            'smaller images or batches'
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        place = f', writing {error.filename}' if error.filename else ''
        return f'the disk has no room{place} ({error.strerror})'
    allocation = ALLOCATION.search(text)
    if allocation:
        return f"the host's memory does not suffice for another {int(allocation[1]):,} bytes"
    if isinstance(error, MemoryError) and not text.startswith('out of GPU memory'):
        return f"the host's memory does not suffice{f': {text}' if text else ''}"
    if _peer_is_gone(error):
        return f'another process of the run has ended ({_first_line(text)})'
    return None


def original_sentence(text: str) -> str:
    """Return the sentence of an error in a worker from the traceback that torch passes on.

    What is no user's error keeps its type.
    """
    lines = text.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  ')]
    last = '\n'.join(lines[(frames[-1] if frames else 0) + 1 :]) or lines[-1]
    match = ERROR_LINE.fullmatch(last)
    if match and match[1].rpartition('.')[2] in USER_ERRORS:
        return match[2]
    return f'a process that loads data failed: {last}; its traceback is in the log'


def _peer_is_gone(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and PEER_GONE.search(str(error)) is not None


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), '').rstrip('. ')


def _intact(cfg: Config) -> str:
    newest = next(iter(regular_checkpoints(cfg)), None)
    if newest is None:
        return 'No checkpoint had been saved'
    return f'The last checkpoint, {newest}, is as it was: go on from it with --resume'
