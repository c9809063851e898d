"""Which losses of a run were no numbers first, noted without waiting for the device."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = -1


@dataclass(frozen=True)
class Broken:
    """The losses that were no numbers first.

    Attributes:
        iteration: Counted from 1.
        losses: Their values by name, in the order of the step.
        in_a_row: How many steps until now had such losses.
    """

    iteration: int
    losses: dict[str, float]
    in_a_row: int

    def __str__(self) -> str:
        name, value = next(iter(self.losses.items()))
        more = [other for other in self.losses if other != name]
        others = f' (then {", ".join(more[:3])}{", ..." if len(more) > 3 else ""})' if more else ''
        word = 'nan' if math.isnan(value) else 'infinite'
        return f'{name}, {describe_loss(name)}, was {word} in iteration {self.iteration}{others}'


def describe_loss(name: str) -> str:
    """Return whose loss a name in the log is: the local module and its head, or the tail's head.

    Args:
        name: As ``local_0.loss_rec`` or ``decode.loss_ce``.
    """
    local = re.fullmatch(r'local_(\d+)\.(.+)', name)
    if local:
        return f'the loss of local module {local[1]} by its head {local[2].replace("loss_", "")}'
    head, _, loss = name.rpartition('.')
    return f'the loss {loss} of the head {head}' if head else 'the loss of the model'


class LossWatch:
    """Notes on the device when losses were no numbers first; only :meth:`read` waits."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}
        self._in_a_row: Tensor | None = None

    def add(self, losses: Mapping[str, Tensor], iteration: int) -> None:
        """Take the losses of a step; steps of several kinds have others."""
        values = torch.stack([value.detach().float().mean() for value in losses.values()])
        if tuple(losses) not in self._seen:
            never = torch.full_like(values, NEVER, dtype=torch.long)
            self._seen[tuple(losses)] = never, values
        first, kept = self._seen[tuple(losses)]
        broken = ~torch.isfinite(values)
        new = broken & (first == NEVER)
        self._seen[tuple(losses)] = first.where(~new, iteration), kept.where(~new, values)
        before = 0 if self._in_a_row is None else self._in_a_row
        self._in_a_row = (before + 1) * broken.any()

    def read(self) -> Broken | None:
        """Return what was no number first, and begin anew; None if all were."""
        if self._in_a_row is None:
            return None
        found: dict[int, dict[str, float]] = {}
        for names, (first, values) in self._seen.items():
            for name, iteration, value in zip(names, first.tolist(), values.tolist(), strict=True):
                if iteration != NEVER:
                    found.setdefault(iteration, {})[name] = value
        self._seen.clear()
        if not found:
            return None
        iteration = min(found)
        return Broken(iteration, found[iteration], int(self._in_a_row))
