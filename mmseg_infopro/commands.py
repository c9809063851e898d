"""What our commands share: errors as a sentence, and a bar for long work."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

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
        except (ValueError, TypeError, OSError, MemoryError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 2

    return run


@contextmanager
def traceback_in_log(logger: logging.Logger) -> Iterator[None]:
    """Keep the traceback of an error in the log's files: the console gets a sentence only.

    What is not a user's error (a ``ValueError`` or ``OSError``) also gets past :func:`command`.
    """
    try:
        yield
    except Exception as error:
        record = logger.makeRecord(
            logger.name, logging.ERROR, '', 0, 'the run stopped', (), sys.exc_info()
        )
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)
        if isinstance(error, TypeError):
            raise RuntimeError(str(error)) from error
        raise


PICTURES = ('.png', '.svg', '.pdf')


def check_outputs(json: Path | None, picture: Path | None = None) -> None:
    """Check that the files of a command's ``--json`` and ``--picture`` can be written.

    Raises:
        ValueError: There is no such folder, or pictures are not of this kind.
    """
    for option, file in (('json', json), ('picture', picture)):
        if file is not None and not file.parent.is_dir():
            raise ValueError(f'--{option} {file}: there is no folder {file.parent}')
    if picture is not None and picture.suffix not in PICTURES:
        raise ValueError(f'--picture must end in {", ".join(PICTURES)}, got {picture}')


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
