"""Tells a whole image file from a broken one by its bytes."""

import os
import re
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

TAIL_BYTES = 1024
"""Most files end there; of others, all is read."""
JPEG, PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
END = {JPEG: b'\xff\xd9', PNG: b'IEND\xaeB`\x82'}
HEAD_BYTES = len(PNG)
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
IN_SCAN = (0x00, 0xFF, *range(0xD0, 0xD8))
"""What may follow a 0xFF in a scan: stuffing, fill bytes and restart markers."""
Decoder = Callable[[bytes], Any]
"""Makes an array of a file's content, or None of it."""

SEGMENTS = (*range(0xC0, 0xD0), *range(0xD9, 0xF0), 0xFE)
"""Markers of what may follow a scan."""


def content_defect(content: bytes, suffix: str) -> str | None:
    """What is wrong with the content of an image file, or None.

    Bytes behind the end are no defect: phones and cameras write there. Of formats other than JPEG
    and PNG just emptiness is noticed, and under their suffixes what no decoder knows.

    Args:
        content: All of it.
        suffix: The file's suffix, such as `.png`.
    """
    if not content:
        return 'is empty'
    if content.startswith(JPEG):
        return _jpeg_defect(content)
    if content.startswith(PNG):
        return None if END[PNG] in content else 'is a truncated PNG (its end marker is missing)'
    if suffix.lower() in ('.png', '.jpg', '.jpeg') and _decode(content) is None:
        return f'is neither a PNG nor a JPEG file (it begins with {content[:HEAD_BYTES]!r})'
    return None


def _decode(content: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def _jpeg_defect(content: bytes) -> str | None:
    truncated = 'is a truncated JPEG (its end marker is missing)'
    position = len(JPEG)
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            return 'is a damaged JPEG (a segment begins with no marker)'
        marker = content[position + 1]
        if marker == END_OF_IMAGE:
            return None
        if marker == 0xFF:
            position += 1
            continue
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
        if marker != START_OF_SCAN:
            continue
        position = _end_of_scan(content, position)
        if position < 0:
            return truncated
        if content[position + 1] not in SEGMENTS:
            return f'is a damaged JPEG (a scan holds the bytes ff {content[position + 1]:02x})'
    at_end = content[position : position + 2] == END[JPEG]
    return None if at_end else truncated


def _end_of_scan(content: bytes, position: int) -> int:
    """Where the next marker is that ends a scan; -1 without any."""
    while True:
        position = content.find(b'\xff', position)
        if position < 0 or position + 1 >= len(content):
            return -1
        if content[position + 1] not in IN_SCAN:
            return position
        position += 1 if content[position + 1] == 0xFF else 2


def file_defect(path: str | Path, decode: Decoder | None = None) -> str | None:
    """What is wrong with an image file on disk, or None.

    Args:
        path: The file; about a kilobyte of it is read, if its end is where it should be.
        decode: Of the loader that will read it: all is read, and is decoded unless it is a PNG
            whose checksums are right.
    """
    path = Path(path)
    if path.is_dir():
        return 'is a folder'
    try:
        with open(path, 'rb') as file:
            head = file.read(HEAD_BYTES)
            file.seek(-min(TAIL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
            tail = file.read()
            ends = [end for start, end in END.items() if head.startswith(start)]
            if decode is None and any(end in tail for end in ends):
                return None
            file.seek(0)
            content = file.read()
    except FileNotFoundError:
        return 'is a dead link' if path.is_symlink() else 'does not exist'
    except OSError as error:
        return f'cannot be read ({error.strerror})'
    defect = content_defect(content, path.suffix)
    if defect is None and decode is not None and not _has_right_checksums(content):
        return _decoding_defect(content, decode)
    return defect


def _has_right_checksums(content: bytes) -> bool:
    """Whether a file is a PNG and what decoders need of it is what was written."""
    if not content.startswith(PNG):
        return False
    position = len(PNG)
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4], 'big')
        end = position + 8 + length
        kind = content[position + 4 : position + 8]
        checksum = zlib.crc32(content[position + 4 : end]).to_bytes(4, 'big')
        if kind[:1].isupper() and checksum != content[end : end + 4]:
            return False
        if kind == b'IEND':
            return True
        position = end + 4
    return False


def _decoding_defect(content: bytes, decode: Decoder) -> str | None:
    decoded: list[Any] = []
    try:
        complaint = complaints(lambda: decoded.append(decode(content)))
    except Exception as error:  # of whatever decoder
        reason = re.sub(r' <[^>]* at 0x[0-9a-f]+>', '', str(error)).split('\n')[0]
        return f'cannot be decoded ({reason or type(error).__name__})'
    if decoded[0] is None:
        return 'cannot be decoded: it is damaged, or of a format that its loader does not read'
    return f'is a damaged JPEG ({complaint})' if complaint else None


def complaints(run: Callable[[], Any]) -> str:
    """What libjpeg writes to the standard error while something runs; it tells it nobody else."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            run()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        lines = file.read().decode(errors='replace').splitlines()
    own = [line for line in lines if 'JPEG' in line or 'Premature' in line]
    return own[0].strip() if own else ''


def first_few(paths: Sequence[str | Path], most: int = 3) -> str:
    """A few of many paths, for a message."""
    more = ', ...' if len(paths) > most else ''
    return ', '.join(str(path) for path in paths[:most]) + more
