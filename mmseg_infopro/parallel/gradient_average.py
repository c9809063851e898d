"""The average of gradients over the processes, computed in the background."""

# No `from __future__ import annotations`: DDP compares a hook's annotations with classes.
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


class GradientAverage:
    """Averages the gradients of several :class:`DistributedDataParallel` over the processes.

    DDP waits for its all-reduces at the end of each backward pass, and so before the next local
    module's forward pass. Within :meth:`in_background` they go on meanwhile, until :meth:`wait`.
    That needs ``gradient_as_bucket_view``: the gradients are what is reduced, in place, so that
    DDP has nothing left to do. They hold no sensible values in between.

    DDP keeps these buckets when the gradients are dropped. Their memory can be released up to the
    next backward pass, which overwrites them.

    Args:
        process_group: The processes; all if not given.
    """

    def __init__(self, process_group: dist.ProcessGroup | None = None) -> None:
        self._group = process_group
        self._in_background = False
        self._pending: list[tuple[dist.Work, int, Tensor]] = []
        self._averaged: defaultdict[int, list[Tensor]] = defaultdict(list)

    def hook(
        self,
        module: int,
        bucket: dist.GradBucket,  # type: ignore[name-defined]
    ) -> torch.futures.Future[Tensor]:
        """Start to average a bucket of a local module; the communication hook for its DDP."""
        gradients = bucket.buffer().div_(dist.get_world_size(self._group))
        work = dist.all_reduce(gradients, group=self._group, async_op=True)
        if not self._in_background:
            return work.get_future().then(lambda done: done.value()[0])
        self._pending.append((work, module, gradients))
        finished: torch.futures.Future[Tensor] = torch.futures.Future()
        finished.set_result(gradients)
        return finished

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Let backward passes within return before their gradients are averaged."""
        self._in_background = True
        try:
            yield
        finally:
            self._in_background = False
            self._pending.clear()  # of a step that failed

    def wait(self) -> None:
        """Wait for all averages; on GPUs, make the current stream wait."""
        for work, module, gradients in self._pending:
            work.wait()
            self._averaged[module].append(gradients)
        self._pending.clear()

    def release(self, module: int) -> None:
        """Give the memory of a module's averaged gradients back; nothing may hold them."""
        for gradients in self._averaged[module]:
            gradients.untyped_storage().resize_(0)

    def restore(self, module: int) -> None:
        """Take memory for a module's gradients again, before DDP runs its forward pass."""
        for gradients in self._averaged.pop(module, ()):
            gradients.untyped_storage().resize_(gradients.nbytes)
