"""How long training steps take: several kinds of them, by turns, on a machine that drifts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

import numpy as np
import torch

from .real_step import RealStep, free_memory

Key = TypeVar('Key', bound=Hashable)


@dataclass
class StepTimes:
    """What the timed steps of one kind took.

    Attributes:
        rounds: Seconds of each step, by round.
        allocated: Bytes in tensors at most during a step, ``torch.cuda.max_memory_allocated``; None
            on a CPU.
        reserved: Bytes taken from the device, ``torch.cuda.max_memory_reserved``; None on a CPU.
        failure: Why there are no times, or no more.
    """

    rounds: list[list[float]] = field(default_factory=list)
    allocated: int | None = None
    reserved: int | None = None
    failure: str | None = None

    @property
    def timed(self) -> bool:
        """Say whether all steps were taken."""
        return bool(self.rounds) and self.failure is None

    def seconds(self) -> float:
        """Return the median step."""
        return median(value for values in self.rounds for value in values)

    def quartiles(self) -> tuple[float, float]:
        """Return between which values the middle half of the steps lies, in seconds."""
        values = [value for values in self.rounds for value in values]
        low, high = np.quantile(values, (0.25, 0.75))
        return float(low), float(high)

    def round_seconds(self) -> list[float]:
        """Return the median step of each round: how the machine drifted."""
        return [median(values) for values in self.rounds]


def time_in_rounds(
    makers: Mapping[Key, Callable[[], RealStep]],
    num_rounds: int,
    num_steps: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[Key, StepTimes]:
    """Time kinds of steps by turns, round after round, so that drifts of the machine hit all alike.

    One model is alive at a time: each turn makes its step anew, and warms it up. A kind that runs
    out of the GPU's memory says so, and has no further turns.

    Args:
        makers: Make each kind of step, on the device.
        num_rounds: Turns of each kind.
        num_steps: Timed steps a turn.
        advance: Called after each turn.
    """
    times = {key: StepTimes() for key in makers}
    for _ in range(num_rounds):
        for key, make_step in makers.items():
            if times[key].failure is None:
                try:
                    _take_turn(times[key], make_step, num_steps)
                except torch.cuda.OutOfMemoryError:
                    times[key].failure = 'out of GPU memory'
                free_memory()  # the error held what it had run out of memory with
            advance()
    return times


def _take_turn(times: StepTimes, make_step: Callable[[], RealStep], num_steps: int) -> None:
    step = make_step()
    if step.device == 'cuda':
        times.allocated, times.reserved = step.measure_bytes()
    else:
        step.take()
    times.rounds.append([step.seconds() for _ in range(num_steps)])
