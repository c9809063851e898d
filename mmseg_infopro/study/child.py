"""A process that does not outlive the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

SET_PARENT_DEATH_SIGNAL = 1
"""Of ``prctl``, see its manual page."""


def ends_with_parent() -> Callable[[], None] | None:
    """Return a ``preexec_fn`` by which a process gets a SIGTERM when this one has ended, by -9 too.

    None where there is no such thing, which is everywhere but on Linux: what was left running there
    keeps its folder locked, and a second run is refused.
    """
    if sys.platform != 'linux':
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before
            os._exit(128 + signal.SIGTERM)

    return ask
