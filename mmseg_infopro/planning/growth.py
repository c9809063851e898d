"""How the bytes of a step grow with its size, from a few sizes that were measured. Pure functions.

Bytes are affine in the batch; in pixels they are too, or quadratic where attention relates all
pixels to all others. Three sizes tell which: those through which no line goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from .costs import StepBytes

BENT = 0.01
"""Share by which the middle of three sizes has to miss the line through the others to tell."""
CLOSE = 0.02
"""What is predicted within this share of a cap may be on either side of it."""


def grown(known: Mapping[int, StepBytes], size: int) -> StepBytes | None:
    """Predict the bytes of a step of another size.

    Args:
        known: Steps by size, in images or in pixels.
        size: Of the step that is asked for.

    Returns:
        None where the known steps do not consist of the same units and operations.
    """
    nearest = sorted(known, key=lambda other: abs(other - size))[:3]
    if size in known or len(nearest) == 1:
        return known[nearest[0]]
    sizes = sorted(nearest)
    try:
        return _combined([known[other] for other in sizes], sizes, size)
    except _DifferentError:
        return None


class _DifferentError(Exception):
    """Values that would have to be equal are not."""


def _combined(values: Sequence[Any], sizes: Sequence[int], size: int) -> Any:
    first = values[0]
    if all(value is first for value in values):
        return first
    if is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in fields(first)]
        parts = {n: _combined([getattr(v, n) for v in values], sizes, size) for n in names}
        return type(first)(**parts)
    if isinstance(first, tuple):
        if len({len(value) for value in values}) > 1:
            raise _DifferentError
        return tuple(_combined(items, sizes, size) for items in zip(*values, strict=True))
    if type(first) is int:
        return max(0, round(curve(sizes, values)(size)))
    if any(value != first for value in values):
        raise _DifferentError
    return first


def curve(sizes: Sequence[int], values: Sequence[int]) -> Callable[[float], float]:
    """Return the line or, where three values say so, the parabola through some values.

    Args:
        sizes: Two or three, in order.
        values: Of each size.
    """
    low, high = sizes[0], sizes[-1]
    slope = (values[-1] - values[0]) / (high - low)

    def line(size: float) -> float:
        return values[0] + slope * (size - low)

    if len(sizes) == 2:
        return line
    middle = sizes[1]
    off = values[1] - line(middle)
    if abs(off) <= BENT * abs(values[1]):
        return line
    bend = off / ((middle - low) * (middle - high))
    return lambda size: line(size) + bend * (size - low) * (size - high)
