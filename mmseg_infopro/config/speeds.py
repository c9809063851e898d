"""The device that a pipeline is planned for: the one at hand, timed once."""

from __future__ import annotations

from typing import Any

import torch

from ..measure.speed import measure_speeds
from ..planning.device import Device
from .recall import recalled


def device_at_hand(autocast: torch.dtype | None = None) -> Device:
    """Return this machine's device, by its own speeds; they are measured once and then recalled.

    Args:
        autocast: Precision of the training step.
    """
    on_gpu = torch.cuda.is_available()
    kind = 'cuda' if on_gpu else 'cpu'
    threads = 0 if on_gpu else torch.get_num_threads()
    name = torch.cuda.get_device_name() if on_gpu else f'this CPU, threads: {threads}'

    def measure() -> list[float]:
        return list(measure_speeds(kind, autocast))

    inputs: tuple[Any, ...] = ('speeds', name, threads, autocast)
    flops, moved = recalled(list[float], inputs, measure)
    return Device(name, flops, moved, 'measured: layers that were timed here')
