"""What a training step needs of the processes that share its work."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

BUCKET_CAP_MB = 25
"""Size of the buckets that gradients are averaged in, in units of 2**20 bytes, by default."""


class Processes(Protocol):
    """Where the modules of a step run and how their gradients become those of all processes."""

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
    """The one process of a job: gradients are final after their last backward pass."""

    def averaging(self, modules: Collection[int]) -> AbstractContextManager[None]:
        """Average nothing."""
        return nullcontext()

    def finish(self, modules: Collection[int] | None = None) -> None:
        """Wait for nothing."""


ALONE = Alone()
"""The default of a step."""
