"""What our commands share: errors as a sentence, and a bar for long work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def command(main: Callable[[], int | None]) -> Callable[[], int]:
    """Decorate a command's ``main``, so that it returns the exit status.

    A user's error is printed as one sentence, and its status is 2.
    """

    @wraps(main)
    def run() -> int:
        try:
            return main() or 0
        except (ValueError, TypeError, OSError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 2

    return run


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar with an estimate of the time left; call what it yields once per item done.

    What is left at the end needed no work.
    """
    columns = TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task('', total=total)
        yield lambda: progress.advance(task)
        progress.update(task, completed=total)
