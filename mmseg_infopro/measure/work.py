"""The work of a step's operations, which is what its time is predicted from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..upstream import in_backward_pass
from .flops import count_flops, is_compute
from .traffic import Traffic


@dataclass(frozen=True)
class Work:
    """What some operations have to do.

    Attributes:
        flops: Of matrix products, convolutions and attention.
        moved: Bytes that operations read and write.
    """

    flops: int = 0
    moved: int = 0

    def __add__(self, other: Work) -> Work:
        """Return the work of both."""
        return Work(self.flops + other.flops, self.moved + other.moved)

    def __sub__(self, other: Work) -> Work:
        """Return the work without that of others."""
        return Work(self.flops - other.flops, self.moved - other.moved)


class WorkCounter:
    """Adds up the work of forward and backward passes; given to a tracker as ``watch``."""

    def __init__(self) -> None:
        self._traffic = {is_backward: Traffic() for is_backward in (False, True)}
        self._flops = {False: 0, True: 0}

    def __call__(self, func: Any, result: Any, args: Any, kwargs: Any) -> None:
        """Count an operation."""
        is_backward = in_backward_pass()
        self._traffic[is_backward](func, result, args, kwargs)
        if is_compute(func):
            self._flops[is_backward] += count_flops(func, result, args, kwargs)

    @property
    def forward(self) -> Work:
        """Return what was done outside of backward passes."""
        return Work(self._flops[False], self._traffic[False].num_bytes)

    @property
    def backward(self) -> Work:
        """Return what was done in backward passes."""
        return Work(self._flops[True], self._traffic[True].num_bytes)
