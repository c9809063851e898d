"""Bytes as people write them."""

from __future__ import annotations

import re

_UNITS = {'': 1, 'B': 1} | {
    f'{prefix}{infix}B': base**power
    for power, prefix in enumerate('KMGT', start=1)
    for infix, base in (('', 1000), ('i', 1024))
}


def parse_bytes(size: int | str) -> int:
    """Read a size: an int in bytes, or a text as ``'12GiB'`` (2**30) or ``'2.7GB'`` (10**9).

    Raises:
        ValueError: It is not a size.
    """
    match = re.fullmatch(r'\s*([0-9.]+)\s*([A-Za-z]*)\s*', str(size))
    unit = match and _UNITS.get(match[2])
    if not match or unit is None or match[1].count('.') > 1 or match[1] == '.':
        raise ValueError(f"a size must be bytes or a text as '12GiB' or '2.7GB', got {size!r}")
    return int(float(match[1]) * unit)


def format_bytes(num_bytes: int) -> str:
    """Write a size for people, with the largest fitting unit of 1024: ``'9.29 GiB'``."""
    for power, unit in ((3, 'GiB'), (2, 'MiB'), (1, 'KiB')):
        if num_bytes >= 1024**power:
            return f'{num_bytes / 1024**power:.2f} {unit}'
    return f'{num_bytes} B'


def table_unit(num_bytes: int) -> tuple[str, float]:
    """Return the unit of 1000 for a table or a picture with such a size in it, and its bytes."""
    return ('GB', 1e9) if num_bytes > 1e9 else ('MB', 1e6)
