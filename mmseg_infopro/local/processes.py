"""What a training step needs of the processes that share its work."""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from .carried import Carried

BUCKET_CAP_MB = 25
"""Size of the buckets that gradients are averaged in, in units of 2**20 bytes, by default."""


class Processes(Protocol):
    """Where the modules of a step run and how their gradients become those of all processes.

    Attributes:
        stages: Numbers of the modules that this process trains.
    """

    stages: range

    def receive(self, carried: Carried) -> Carried:
        """Return what this process's first module starts from.

        Args:
            carried: What the first module of all starts from: the process's own batch.
        """

    def send(self, carried: Carried) -> None:
        """Hand on what this process's last module leaves, before its backward pass.

        Args:
            carried: Detached.
        """

    def running(self) -> AbstractContextManager[None]:
        """Return the context of a forward pass: who runs it too is who is asked for figures."""

    def averaging(self, modules: Collection[int]) -> AbstractContextManager[None]:
        """Return the context of the step's last backward pass that reaches these modules.

        Their averages start meanwhile, in the background: the gradients hold no sensible values
        until :meth:`finish`.

        Args:
            modules: Numbers of modules whose gradients are complete after that pass, whether it
                was this or an earlier pass that gave them.
        """

    def finish(self, modules: Collection[int] | None = None) -> None:
        """Wait until gradients are those of all processes.

        Args:
            modules: Whose gradients; all that are being averaged if not given.
        """


class Alone:
    """The one process of a job: it trains all modules, on gradients that are final at once."""

    stages = range(sys.maxsize)

    def receive(self, carried: Carried) -> Carried:
        """Return the batch."""
        return carried

    def send(self, carried: Carried) -> None:
        """Hand nothing on: nobody is behind the last module."""

    def running(self) -> AbstractContextManager[None]:
        """Run with all processes that there are."""
        return nullcontext()

    def averaging(self, modules: Collection[int]) -> AbstractContextManager[None]:
        """Average nothing."""
        return nullcontext()

    def finish(self, modules: Collection[int] | None = None) -> None:
        """Wait for nothing."""


ALONE = Alone()
"""The default of a step."""
