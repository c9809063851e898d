"""The last borders that a process got, from which it may train more than once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(eq=False)
class Border:
    """What a process got of the one before.

    Attributes:
        made: The iteration in which the process before made it.
        batch: The iteration whose batch it is of.
        layout: A nest of :class:`~.border_format.Slot`.
        values: Its memory, one tensor for each slot.
        uses: How often it has been trained on.
    """

    made: int
    batch: int
    layout: Any
    values: list[Tensor]
    uses: int = 0


class Ring:
    """Keeps borders as long as they may be trained on.

    Args:
        staleness: How many iterations old a border may be.
        reuse: How often it may be trained on.
    """

    def __init__(self, staleness: int, reuse: int) -> None:
        self.staleness, self.reuse = staleness, reuse
        self._borders: list[Border] = []

    def __len__(self) -> int:
        return len(self._borders)

    def put(self, border: Border) -> None:
        """Take a new one."""
        self._borders.append(border)

    def pick(self, iteration: int) -> Border | None:
        """Return the border to train on in an iteration: of those used least, the newest one.

        What is too old for it, or has been used up, is dropped. The caller counts the use.

        Args:
            iteration: At least that of the last call.

        Returns:
            None where there is none.
        """
        self._borders = [
            border
            for border in self._borders
            if iteration - border.made <= self.staleness and border.uses < self.reuse
        ]
        return min(self._borders, key=lambda b: (b.uses, -b.made), default=None)
