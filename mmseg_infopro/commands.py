"""What our commands share: errors as a sentence, and a bar for long work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Decorate a command's ``main``: a user's error is printed as one sentence, exit status 2."""

    @wraps(main)
    def run() -> None:
        try:
            main()
        except (ValueError, TypeError, OSError) as error:
            print(f'error: {error}', file=sys.stderr)
            sys.exit(2)

    return run


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar with an estimate of the time left; call what it yields once per item done."""
    columns = TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task('', total=total)
        yield lambda: progress.advance(task)
