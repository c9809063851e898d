"""One local module on one process: the part of a step that runs there."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Any

import torch.distributed as dist

from ..local.carried import Carried
from ..local.local_losses import reads_image
from ..local.processes import ALONE, Processes
from ..upstream import as_world
from .link import Link


class Stage:
    """The :class:`~.processes.Processes` of a step of which this process runs one module.

    Args:
        model: The segmentor.
        index: Of the module.
        link: To the processes before and behind.
        average: Makes the gradients those of all processes with the same module.
        replicas: The group of these.
    """

    def __init__(
        self,
        model: Any,
        index: int,
        link: Link,
        average: Processes,
        replicas: dist.ProcessGroup,
    ) -> None:
        self.stages = range(index, index + 1)
        self._model, self._index = model, index
        self._link, self._average = link, average
        self._replicas = replicas

    def receive(self, carried: Carried) -> Carried:
        """Return what the module starts from; the image is gone where nothing reads it."""
        if not self._index:
            return carried
        received = self._link.receive(carried, self._model.backbone)
        return received if reads_image(self._model, self._index) else received.without_image()

    def send(self, carried: Carried) -> None:
        """Begin to send what the module left."""
        self._link.send(carried)

    def running(self) -> AbstractContextManager[None]:
        """Return a context in which the world is the processes with the same module."""
        return as_world(self._replicas)

    def averaging(self, modules: Collection[int]) -> AbstractContextManager[None]:
        """Average the gradients of the module in the context's backward pass."""
        return self._average.averaging(modules)

    def finish(self, modules: Collection[int] | None = None) -> None:
        """Wait for the averages, and so for all processes with the same module."""
        if self._average is ALONE:
            return
        with self._link.watch.waiting():
            self._average.finish(modules)
