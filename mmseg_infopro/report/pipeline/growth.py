"""By how much a process grows: what the system, or the GPU's allocator, says it held at most."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS, CLEAR = Path('/proc/self/status'), Path('/proc/self/clear_refs')
RESET_PEAK = '5'


@dataclass
class Growth:
    """By how many bytes a process grew at most; None where nothing tells."""

    num_bytes: int | None = None


@contextmanager
def growth(device: str) -> Iterator[Growth]:
    """Measure a block of code.

    Args:
        device: ``'cuda'`` asks torch's allocator, ``'cpu'`` Linux for the memory that is resident.
    """
    found = Growth()
    gc.collect()
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.num_bytes = torch.cuda.max_memory_allocated() - before
        return
    _give_back()
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:  # not Linux, or not allowed
        yield found
        return
    before = _resident('VmRSS')
    yield found
    found.num_bytes = _resident('VmHWM') - before


def _give_back() -> None:
    """Let the C library give the system back what is free."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _resident(key: str) -> int:
    lines = STATUS.read_text().splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith(f'{key}:'))
    return 1024 * int(kibibytes)
