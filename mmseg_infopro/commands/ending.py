"""How our commands end: with a status, and an error as one sentence."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from mmengine.logging import MMLogger

from ..config.places import first_sentence
from ..dependencies import quiet_warnings
from ..parallel.watch import ends_at_once
from ..run.console import quieten

SECONDS_TO_SAY = 1
"""A launcher ends all processes as soon as one has ended."""


def command(main: Callable[[Namespace], int | None]) -> Callable[[Namespace], int]:
    """Decorate a command's ``main``, so that it returns the exit status.

    A user's error is printed as one sentence, and its status is 2. One that another process of the
    job says (``said_elsewhere``) is not said again, and this process ends after that one. One of a
    pipeline ends without the usual farewell, which others would have to answer.
    """

    @wraps(main)
    def run(args: Namespace) -> int:
        try:
            quieten(MMLogger.get_current_instance())
            with quiet_warnings():
                return main(args) or 0
        except (ValueError, TypeError, OSError, MemoryError) as error:
            if getattr(error, 'said_elsewhere', False):
                time.sleep(SECONDS_TO_SAY)
            else:
                text = ' '.join(str(error).split()) or type(error).__name__
                print(f'error: {text}', file=sys.stderr, flush=True)
            return _ended(error)
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            return 130
        except Exception as error:
            log = keep_traceback(error)
            print(f'error: {first_sentence(error)} (traceback: {log})', file=sys.stderr, flush=True)
            return _ended(error)

    return run


def _ended(error: Exception) -> int:
    """Return the status of a command that failed, if its process may end as others do."""
    if ends_at_once(error):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(2)
    return 2


@contextmanager
def traceback_in_log(logger: logging.Logger) -> Iterator[None]:
    """Keep the traceback of an error in the log's files: the console gets a sentence only."""
    try:
        yield
    except Exception as error:
        _log_traceback(logger, error)
        raise


def keep_traceback(error: Exception) -> str:
    """Keep the traceback of an error that is nobody's sentence; return the file that has it."""
    logger = MMLogger.get_current_instance()
    files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
    if files:
        if not getattr(error, 'is_logged', False):
            _log_traceback(logger, error)
        return files[0].baseFilename
    handle, name = tempfile.mkstemp(prefix='mmseg_infopro_', suffix='.log')
    with os.fdopen(handle, 'w') as file:
        traceback.print_exception(error, file=file)
    return name


def _log_traceback(logger: logging.Logger, error: Exception) -> None:
    info = (type(error), error, error.__traceback__)
    record = logger.makeRecord(logger.name, logging.ERROR, '', 0, 'the run stopped', (), info)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
    error.is_logged = True  # type: ignore[attr-defined]
