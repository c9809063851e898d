"""Files that appear under their name only once they are complete, whatever stops their writer."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = re.compile(r'.+\.([0-9a-f]{8}\.)?partial')
"""The names of files that are being written, of this version and of earlier ones."""
KEPT = ' (what was there before is as it was)'
NAME_LENGTH = 200
"""What of a file's name its temporary name takes over: file systems allow 255 bytes in all."""


def write_whole(path: str | Path, content: bytes | str) -> None:
    """Write a file beside its place and rename it; a failure leaves the old file as it was.

    The content has reached the disk before the new name is there, and the name before this
    returns: a power cut leaves the old file or the new one.

    Raises:
        OSError: It cannot be written; the error names the file.
    """
    data = content.encode() if isinstance(content, str) else content
    with whole_file(path) as partial, partial.open('wb') as file:
        file.write(data)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give the temporary name to write a file under; it gets its own at the end of the block.

    Every writer has a temporary name of its own, so that two of them cannot mix their bytes. What
    is no regular file, as ``/dev/stdout``, is written in place.

    Raises:
        OSError: It cannot be written; the error names the file.
    """
    target = Path(path)
    if target.is_symlink():
        target = target.resolve()
    partial = target.with_name(f'{target.name[:NAME_LENGTH]}.{secrets.token_hex(4)}.partial')
    try:
        with naming(target):
            if target.exists() and not target.is_file() and not target.is_dir():
                yield target
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            _sync(partial)
            if target.is_file():
                partial.chmod(target.stat().st_mode & 0o7777)
            os.replace(partial, target)
            _sync(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def naming(target: Path) -> Iterator[None]:
    """Name a file, or a folder, in what the system says while it is written.

    Raises:
        OSError: As in the block, with the name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, _reason(error), str(target)) from error


def remove_partial(folder: str | Path) -> list[Path]:
    """Remove what writers that were killed have left in a folder that nobody writes to."""
    stale = [path for path in Path(folder).glob('*.partial') if PARTIAL.fullmatch(path.name)]
    for path in stale:
        path.unlink(missing_ok=True)
    return stale


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # not on every system
            raise
    finally:
        os.close(handle)


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and not reason.endswith(KEPT):
        reason += KEPT
    return reason
