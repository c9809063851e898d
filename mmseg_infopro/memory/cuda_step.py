"""The peak of a real training step on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper

NUM_STEPS = 3
"""Steps to take; the first ones choose algorithms and make the optimizer's state."""


@dataclass(frozen=True)
class CudaPeak:
    """Bytes that torch held at most during one training step.

    Attributes:
        allocated: In tensors, ``torch.cuda.max_memory_allocated``.
        reserved: Taken from the device, ``torch.cuda.max_memory_reserved``.
        seconds: Of the step.
    """

    allocated: int
    reserved: int
    seconds: float


def cuda_step_peak(
    model: BaseModel, optim_wrapper_cfg: ConfigDict, make_batch: Callable[[], dict[str, Any]]
) -> CudaPeak:
    """Train for some steps on the GPU and measure the last one.

    Args:
        model: It trains, and stays on the GPU.
        optim_wrapper_cfg: The config's ``optim_wrapper``.
        make_batch: Makes what a data loader yields.

    Raises:
        ValueError: There is no GPU.
    """
    if not torch.cuda.is_available():
        raise ValueError('a real step needs a GPU, and torch finds none on this machine')
    model = revert_sync_batchnorm(model).cuda().train()
    optim_wrapper = build_optim_wrapper(model, optim_wrapper_cfg)
    batch = make_batch()
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(NUM_STEPS):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        start.record()
        model.train_step(batch, optim_wrapper)
        stop.record()
        torch.cuda.synchronize()
    return CudaPeak(
        torch.cuda.max_memory_allocated(),
        torch.cuda.max_memory_reserved(),
        start.elapsed_time(stop) / 1000,
    )
