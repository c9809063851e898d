"""What signals ask of a run: to finish its step, save and stop."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from mmengine.runner import Runner

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
ONE_REQUEST = 2.0
"""Seconds in which several signals count as one: a launcher passes on what a terminal sends too."""
WORKER_GRACE = 300
"""Seconds that a process which only loads data goes on after a signal, if its run does not end."""


def keep_loading() -> None:
    """Let a process that loads data go on for a while: its run needs it to finish a step."""
    signal.alarm(WORKER_GRACE)


class PatientWorker:
    """Begins a process that loads data, as ``worker_init_fn``: signals to the group don't end it.

    torch's own handler ends a worker that gets SIGTERM together with its run. What ends it here is
    its run, whose exit terminates what is left.

    Args:
        begin: What else to call with the worker's number.
    """

    def __init__(self, begin: Callable[[int], None] | None) -> None:
        self.begin = begin
        self._run_exits = torch.zeros(1, dtype=torch.bool).share_memory_()
        # Called before multiprocessing's own exit, which was registered earlier.
        atexit.register(self._run_exits.fill_, True)

    def __call__(self, number: int) -> None:
        """Take the signals over from torch."""
        for signal_number in SIGNALS:
            signal.signal(signal_number, self._note)
        if self.begin is not None:
            self.begin(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._run_exits.item():
            os._exit(0)
        keep_loading()


class StopRequest:
    """The signal that asked this process to stop, if one did."""

    def __init__(self) -> None:
        self.number = 0
        self._at = 0.0
        self._pid = os.getpid()

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; the second one, if it comes later, ends the process at once."""
        if os.getpid() != self._pid:
            keep_loading()  # forked, and not yet begun
            return
        now = time.monotonic()
        if self.number and now - self._at > ONE_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(self._pid, number)
        if not self.number:
            self.number, self._at = number, now


_request: StopRequest | None = None


@contextmanager
def signals_noted() -> Iterator[StopRequest]:
    """Note signals in place of ending at once; to be put around a run, before it starts workers.

    Within another such block, or in a thread, this changes nothing.
    """
    global _request
    if _request is not None or threading.current_thread() is not threading.main_thread():
        yield _request or StopRequest()
        return
    _request = StopRequest()
    before = {number: signal.signal(number, _request.note) for number in SIGNALS}
    try:
        yield _request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _request = None


def requested_signal() -> int:
    """Return the signal that asked this process to stop, or 0."""
    return 0 if _request is None else _request.number


class Stopped(SystemExit):
    """A run has stopped because a signal asked it to; the process ends with the signal's status."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def stops_now(runner: Runner) -> bool:
    """Whether the processes of a run have agreed to stop after this iteration."""
    return any(getattr(hook, 'agreed', 0) for hook in runner.hooks)


def signal_name(number: Any) -> str:
    """Return what a signal is called."""
    return signal.Signals(number).name
