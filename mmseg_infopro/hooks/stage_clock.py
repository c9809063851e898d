"""What a process of a pipeline does with its time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from ..files.whole import write_whole
from ..parallel.watch import Watch

STAGE_TIMES = 'stage_times.json'
"""The file in a run's log folder, which :func:`~.report.run_files.read_run` reads."""
COMPUTE, SEND, WAIT, LOAD = KINDS = 'compute', 'send', 'wait', 'load'
"""What a process does: waiting to send is for the one behind, and to wait for the one before."""
Seconds = dict[str, float]


class StageClock:
    """Adds up the seconds of a process's steps, by kind; those before the first log do not count.

    On a GPU only its stream waits, so that they tell nothing there.
    """

    def __init__(self) -> None:
        self._spent = dict.fromkeys(KINDS, 0.0)
        self._before: tuple[float, float, float] | None = None
        self._first: Seconds | None = None

    def begin(self, watch: Watch) -> None:
        """Note that a step begins."""
        self._before = monotonic(), watch.seconds, watch.sending

    def end(self, watch: Watch) -> None:
        """Note that the step is over."""
        if self._before is None:
            return
        begin, waited, sending = self._before
        sent, waited = watch.sending - sending, watch.seconds - waited
        self._spent[SEND] += sent
        self._spent[WAIT] += waited - sent
        self._spent[COMPUTE] += monotonic() - begin - waited
        self._before = None

    def since_first_log(self, load: float) -> Seconds:
        """Return the seconds of each kind since the first call.

        Args:
            load: Seconds up to now that the process waited for its data loader.
        """
        spent = {**self._spent, LOAD: load}
        self._first = self._first or spent
        return {kind: seconds - self._first[kind] for kind, seconds in spent.items()}


def write_stage_times(
    folder: Path, iterations: tuple[int, int], everyones: Sequence[Seconds]
) -> None:
    """Write what each process did.

    Args:
        folder: Of the run's logs.
        iterations: After which it begins to count, and at which it ends.
        everyones: Seconds of each process by kind.
    """
    figures = dict(iterations=list(iterations), processes=list(everyones))
    write_whole(folder / STAGE_TIMES, json.dumps(figures) + '\n')
