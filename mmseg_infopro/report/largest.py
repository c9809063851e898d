"""The largest size that fits, found with few measurements. Pure functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

from ..planning.growth import CLOSE, curve

MOST_SECANTS = 6
"""Measurements after which a search halves what is left."""
FARTHEST = 8
"""How many times what was measured a prediction reaches."""


def largest(
    fits: Callable[[int], bool],
    start: int,
    fits_start: bool | None = None,
    most: int = sys.maxsize,
) -> int:
    """Return the largest n for which ``fits`` holds, 0 if it holds for none.

    Args:
        fits: Holds up to some number, and for none beyond.
        start: Where to begin to look, at least 1.
        fits_start: What ``fits(start)`` is, if that is known.
        most: The largest n that is asked for, at least ``start``.
    """
    fits = cache(fits)
    if fits(start) if fits_start is None else fits_start:
        low, step = start, 1
        while low < most and fits(min(low + step, most)):
            low, step = min(low + step, most), 2 * step
        high = min(low + step, most)
    else:
        high, step = start, 1
        while high > step and not fits(high - step):
            high, step = high - step, 2 * step
        low = max(0, high - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def largest_within(
    cap: int,
    measure: Callable[[int], int | None],
    size_of: Callable[[int], int],
    known: dict[int, int],
    fixed: int,
    most: int = sys.maxsize,
) -> int:
    """Return the largest n whose bytes are within a cap, 0 if those of none are.

    Bytes grow with n, about as a line or a parabola through those that are known. What is returned
    was measured; the next n is predicted to be too large, or was measured too where the prediction
    is close to the cap.

    Args:
        cap: Bytes.
        measure: Returns the bytes of an n; None where n is too small for a step.
        size_of: The size of an n, which bytes are a curve of.
        known: Bytes of some n.
        fixed: Bytes of a step of no size.
        most: The largest n that is asked for, at least those that are known.
    """
    measured: dict[int, int | None] = dict(known)
    while True:
        fitting = (n for n, size in measured.items() if size is None or size <= cap)
        low = max(fitting, default=0)
        high = min((n for n in measured if n > low), default=None)
        found = low if measured.get(low) is not None else 0
        if high == low + 1 or low >= most:
            return found
        if not any(measured.values()):
            guess = low + 1 if measured else 1
            measured[guess] = measure(guess)
            continue
        predict = _prediction(measured, size_of, fixed)
        guess = min(most, _guess(predict, cap, low, high, len(measured)))
        if guess <= low:
            if len(measured) > 1 and predict(low + 1) > (1 + CLOSE) * cap:
                return found
            guess = low + 1
        measured[guess] = measure(guess)


def _guess(
    predict: Callable[[int], float], cap: int, low: int, high: int | None, num_measured: int
) -> int:
    """Return the largest n below ``high`` that is predicted to fit."""
    if num_measured > MOST_SECANTS and high is not None:
        return (low + high) // 2
    end = high or FARTHEST * max(low, 1)
    return largest(lambda n: n < end and predict(n) <= cap, low or 1)


def _prediction(
    measured: dict[int, int | None], size_of: Callable[[int], int], fixed: int
) -> Callable[[int], float]:
    """Return the curve through those measured last; the step of no size stands in for a second."""
    points = {size_of(n): size for n, size in measured.items() if size is not None}
    points = dict(list(points.items())[-3:])
    if len(points) == 1:
        points[0] = fixed
    sizes = sorted(points)
    through = curve(sizes, [points[size] for size in sizes])
    return lambda n: through(size_of(n))
