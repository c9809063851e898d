"""A small disk of its own that can be filled, and grown."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A file system in memory.

    Attributes:
        path: Where it is mounted.
    """

    path: Path

    def fill(self, leave: int = 0) -> None:
        """Fill it up to so many bytes."""
        room = os.statvfs(self.path)
        count = room.f_bavail * room.f_frsize - leave
        (self.path / 'filling').write_bytes(bytes(max(0, count)))

    def free(self) -> None:
        """Remove what filled it."""
        (self.path / 'filling').unlink()


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Disk]:
    """Mount a disk of so many bytes for the time of a block; without the right to, skip."""
    path.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'needs the right to mount a file system ({error})')
    try:
        yield Disk(path)
    finally:
        subprocess.run(['umount', str(path)], check=True)
