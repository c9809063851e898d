"""The average of gradients over the processes, computed in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock

import torch.distributed as dist
from torch import nn

from ..local.processes import Alone
from .buckets import Bucket, split


class GradientAverage(Alone):
    """Averages the gradients of local modules over the processes.

    These are :class:`mmseg_infopro.local.processes.Processes`. Within :meth:`averaging`, a bucket
    of gradients is started as soon as it is full and those before it are started; at the end all
    others are. So all processes start the same ones in the same order, whatever each one used.

    A bucket takes the place of its gradients when it is started, and is gone with them: filling one
    is all that this adds to the memory of one process.

    What counts is all gradient that a parameter holds, also of earlier passes and of earlier
    accumulated steps. A parameter that a process did not use counts as zero there; one that none
    used keeps no gradient. Those that do not require gradient now take no part: all processes must
    freeze the same ones.

    Args:
        modules: Each local module's parameters by name, in order of definition.
        max_bytes: Of a bucket; a larger parameter has one of its own.
        group: The processes; all if not given.
    """

    def __init__(
        self,
        modules: Sequence[Mapping[str, nn.Parameter]],
        max_bytes: float = 25 * 1024**2,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        self._modules = modules
        self._max_bytes = max_bytes
        self._group = group
        self._pending: list[Bucket] = []

    @contextmanager
    def averaging(self, modules: Collection[int]) -> Iterator[None]:
        """Average the gradients of these modules, from their last backward pass on.

        Args:
            modules: Numbers of modules whose gradients are complete at the end of the context. It
                needs no backward pass: then all of them are from earlier ones.
        """
        waiting: deque[Bucket] = deque()
        lock = RLock()  # autograd has a thread for each device

        def launch(all_of_them: bool = False) -> None:
            with lock:
                while waiting and (all_of_them or waiting[0].full):
                    self._pending.append(waiting.popleft())
                    self._pending[-1].launch(self._group)

        for module in sorted(modules, reverse=True):  # as their gradients come
            waiting.extend(self._buckets(module, launch))
        try:
            yield
            launch(all_of_them=True)
        finally:
            for bucket in waiting:  # of a pass that failed
                bucket.leave()

    def finish(self, modules: Collection[int] | None = None) -> None:
        """Wait for the averages; on GPUs, make the current stream wait.

        Args:
            modules: Whose gradients; all if not given.
        """
        pending, self._pending = self._pending, []
        for bucket in pending:
            if modules is None or bucket.module in modules:
                bucket.finish()
            else:
                self._pending.append(bucket)

    def forget(self) -> None:
        """Wait for nothing any more: the step failed."""
        for bucket in self._pending:
            bucket.leave()
        self._pending.clear()

    def _buckets(self, module: int, arrived: Callable[[], None]) -> list[Bucket]:
        named = reversed(list(self._modules[module].items()))
        trainable = {p: name for name, p in named if p.requires_grad}
        parts = split(trainable, self._max_bytes)
        return [Bucket(module, {trainable[p]: p for p in part}, arrived) for part in parts]
