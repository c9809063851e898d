"""Tells a whole image file from a broken one by its first and last bytes."""

import os
from collections.abc import Sequence
from pathlib import Path

TAIL_BYTES = 1024
"""Some cameras write a little after the end marker."""
JPEG, PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
ENDINGS = {JPEG: b'\xff\xd9', PNG: b'IEND\xaeB`\x82'}
HEAD_BYTES = len(PNG)


def bytes_defect(head: bytes, tail: bytes, suffix: str) -> str | None:
    """What is wrong with an image file, or None.

    Only JPEG and PNG have an end marker; of other formats just emptiness is noticed.

    Args:
        head: The first `HEAD_BYTES` bytes.
        tail: The last `TAIL_BYTES` bytes.
        suffix: The file's suffix, such as `.png`.
    """
    if not head:
        return 'is empty'
    for start, end in ENDINGS.items():
        if head.startswith(start):
            kind = 'JPEG' if start == JPEG else 'PNG'
            return None if end in tail else f'is a truncated {kind} (its end marker is missing)'
    if suffix.lower() in ('.png', '.jpg', '.jpeg'):
        return f'is neither a PNG nor a JPEG file (it begins with {head!r})'
    return None


def file_defect(path: str | Path) -> str | None:
    """What is wrong with an image file on disk, or None; reads about a kilobyte."""
    try:
        with open(path, 'rb') as file:
            head = file.read(HEAD_BYTES)
            file.seek(-min(TAIL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
            tail = file.read()
    except FileNotFoundError:
        return 'does not exist'
    except OSError as error:
        return f'cannot be read ({error.strerror})'
    return bytes_defect(head, tail, Path(path).suffix)


def first_few(paths: Sequence[str | Path], most: int = 3) -> str:
    """A few of many paths, for a message."""
    more = ', ...' if len(paths) > most else ''
    return ', '.join(str(path) for path in paths[:most]) + more
