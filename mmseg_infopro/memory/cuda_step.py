"""The peak of a real training step on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel

from .real_step import RealStep

NUM_STEPS = 3
"""Steps to take; the first ones choose algorithms and make the optimizer's state."""


@dataclass(frozen=True)
class CudaPeak:
    """Bytes that torch held at most during one training step.

    Attributes:
        allocated: In tensors, ``torch.cuda.max_memory_allocated``.
        reserved: Taken from the device, ``torch.cuda.max_memory_reserved``.
        seconds: Of a step after it.
    """

    allocated: int
    reserved: int
    seconds: float


def cuda_step_peak(
    model: BaseModel, optim_wrapper_cfg: ConfigDict, make_batch: Callable[[], dict[str, Any]]
) -> CudaPeak:
    """Train for some steps on the GPU, and measure the last ones.

    Args:
        model: It trains, and stays on the GPU.
        optim_wrapper_cfg: The config's ``optim_wrapper``.
        make_batch: Makes what a data loader yields.

    Raises:
        ValueError: There is no GPU.
    """
    if not torch.cuda.is_available():
        raise ValueError('a real step needs a GPU, and torch finds none on this machine')
    step = RealStep(model, optim_wrapper_cfg, make_batch, 'cuda')
    allocated, reserved = warmed_up_bytes(step)
    return CudaPeak(allocated, reserved, step.seconds())


def warmed_up_bytes(step: RealStep) -> tuple[int, int]:
    """Take the first steps on the GPU; return the last one's bytes, allocated and reserved.

    The allocator gives back what the earlier steps left in it; to get it again takes time, so that
    this step is not to be timed.
    """
    for _ in range(NUM_STEPS - 1):
        step.take()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    step.take()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
