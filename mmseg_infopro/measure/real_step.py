"""A training step for real, on a GPU or a CPU, that can be taken again and again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from copy import deepcopy
from time import perf_counter
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper

from .dry_step import without_accelerator

NUM_WARM_UP_STEPS = 2
"""On a GPU, before its memory is measured: they choose algorithms and make optimizer state."""


class RealStep:
    """What trains a model on one batch, again and again.

    Args:
        model: It trains, and moves to the device.
        optim_wrapper_cfg: The config's ``optim_wrapper``. On a CPU, which mmengine's
            ``AmpOptimWrapper`` refuses, mixed precision is autocasting without a loss scale.
        make_batch: Makes what a data loader yields; it stays where it is, as that of a loader
            does, so that moving it belongs to the step.
        device: ``'cuda'`` or ``'cpu'``.
    """

    def __init__(
        self,
        model: BaseModel,
        optim_wrapper_cfg: ConfigDict,
        make_batch: Callable[[], dict[str, Any]],
        device: str,
    ) -> None:
        self.model = revert_sync_batchnorm(model).to(device).train()
        self.device = device
        on_cpu = device == 'cpu'
        wrapper_cfg = without_accelerator(optim_wrapper_cfg) if on_cpu else optim_wrapper_cfg
        self.optim_wrapper = build_optim_wrapper(self.model, deepcopy(wrapper_cfg))
        self.num_batches = optim_wrapper_cfg.get('accumulative_counts', 1)
        self.batch = make_batch()

    def take(self) -> None:
        """Train until the parameters are updated: on one batch, or on those that accumulate."""
        for _ in range(self.num_batches):
            self.model.train_step(self.batch, self.optim_wrapper)

    def seconds(self) -> float:
        """Take a step, and return how long it took until the device was done.

        A GPU tells by its events when it began and ended, whatever else the host does.
        """
        self._wait()
        if self.device == 'cuda':
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            self.take()
            end.record()
            end.synchronize()
            return begin.elapsed_time(end) / 1000
        start = perf_counter()
        self.take()
        return perf_counter() - start

    def measure_bytes(self) -> tuple[int, int]:
        """Take the first steps on a GPU; return the last one's bytes, allocated and reserved.

        The allocator gives back what the earlier steps left in it; to get it again takes time, so
        that this step is not to be timed.
        """
        for _ in range(NUM_WARM_UP_STEPS):
            self.take()
        self._wait()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self.take()
        self._wait()
        return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()

    def _wait(self) -> None:
        if self.device == 'cuda':
            torch.cuda.synchronize()


def free_memory() -> None:
    """Give a GPU's memory back that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
