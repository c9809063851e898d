"""Sizes as people write them: bytes with their unit, or a share of end-to-end training's peak."""

from __future__ import annotations

import re

_UNITS = {'B': 1} | {
    f'{prefix}{infix}B': base**power
    for power, prefix in enumerate('KMGT', start=1)
    for infix, base in (('', 1000), ('i', 1024))
}
SMALLEST_CAP = 1000
"""Of fewer bytes nobody means bytes."""


def parse_bytes(size: int | str) -> int:
    """Read a size: an int in bytes, or a text as ``'12GiB'`` (2**30) or ``'2.7GB'`` (10**9).

    Raises:
        ValueError: It is not a size, or a text without a unit.
    """
    if isinstance(size, int):
        return size
    match = re.fullmatch(r'\s*(\d+\.?\d*|\.\d+)\s*([A-Za-z]*)\s*', str(size))
    if match and not match[2]:
        if float(match[1]):
            raise ValueError(bare_number(match[1]))
        return 0  # of whatever
    if not match or match[2] not in _UNITS:
        raise ValueError(f"a size must be a text as '12GiB' or '2.7GB', got {size!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def parse_share(size: int | str) -> float | None:
    """Read a percentage, as 0.4 for ``'40%'``; None where it is none.

    Raises:
        ValueError: It is one of nothing or less.
    """
    match = re.fullmatch(r'\s*(-?\d+\.?\d*|-?\.\d+)\s*%\s*', str(size))
    if match is None:
        return None
    if float(match[1]) <= 0:
        raise ValueError(f"a share of E2E's peak must be above 0%, got {size}")
    return float(match[1]) / 100


def check_cap(cap: int | str) -> None:
    """Check what is given as a memory cap: bytes with a unit, or a share of E2E's peak.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(cap, (float, bool)) or (isinstance(cap, int) and cap < SMALLEST_CAP):
        raise ValueError(bare_number(str(cap)))
    if parse_share(cap) is None:
        parse_bytes(cap)


def bare_number(number: str) -> str:
    """Return what to say to a number without a unit."""
    return f"{number} what? say {number}GiB, or a share of E2E's peak as 40%"


def format_bytes(num_bytes: int) -> str:
    """Write a size for people, with the largest fitting unit of 1024: ``'9.29 GiB'``."""
    for power, unit in ((3, 'GiB'), (2, 'MiB'), (1, 'KiB')):
        if num_bytes >= 1024**power:
            return f'{num_bytes / 1024**power:.2f} {unit}'
    return f'{num_bytes} B'


def format_size(size: int | str) -> str:
    """Write a size as its author did, plain bytes with a unit."""
    return format_bytes(size) if isinstance(size, int) else size


def table_unit(num_bytes: int) -> tuple[str, float]:
    """Return the unit for a table or a picture with such a size in it, and its bytes."""
    return ('GiB', 2.0**30) if num_bytes > 2**30 else ('MiB', 2.0**20)
