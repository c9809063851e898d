"""What our commands share: arguments, errors as a sentence, and a bar for long work."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .config.options_action import OptionsAction
from .config.places import first_sentence
from .dependencies import quiet_warnings
from .files.outputs import check_distinct, check_output
from .run.console import quieten

CONFIG = 'a config file, or mmseg::NAME for one of mmseg'


def config_parser(description: str | None, config: str = CONFIG) -> ArgumentParser:
    """Return a parser that takes a config and ``--cfg-options``."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('config', help=config)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        help='settings as key=value; one of model.local.num_modules, model.local.boundaries and '
        'model.local.memory_cap replaces the others',
    )
    return parser


def add_step_arguments(parser: ArgumentParser) -> None:
    """Let a command line change the size of the training step, and write its figures."""
    parser.add_argument('--batch-size', type=int, help='images per process')
    parser.add_argument('--crop', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'), help='pixels')
    parser.add_argument('--json', type=Path, help='write the figures to this file as well')


PRECISIONS = ('none', 'float16', 'bfloat16')


def add_amp_argument(parser: ArgumentParser) -> None:
    """Let a command line choose the precision of the training step."""
    parser.add_argument('--amp', choices=PRECISIONS, help='mixed precision, or none')


def add_launcher_arguments(parser: ArgumentParser) -> None:
    """Let a launcher start a command in several processes; see :func:`parse_in_job`."""
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    parser.add_argument('--launcher', choices=launchers, default='none', help='of the job')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by torchrun')


def parse_in_job(parser: ArgumentParser) -> Namespace:
    """Parse the command line, and tell mmengine the process's rank on its machine."""
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


SECONDS_TO_SAY = 1
"""A launcher ends all processes as soon as one has ended."""


def command(main: Callable[[], int | None]) -> Callable[[], int]:
    """Decorate a command's ``main``, so that it returns the exit status.

    A user's error is printed as one sentence, and its status is 2. One that another process of the
    job says (``said_elsewhere``) is not said again, and this process ends after that one.
    """

    @wraps(main)
    def run() -> int:
        try:
            quieten(MMLogger.get_current_instance())
            with quiet_warnings():
                return main() or 0
        except (ValueError, TypeError, OSError, MemoryError) as error:
            if getattr(error, 'said_elsewhere', False):
                time.sleep(SECONDS_TO_SAY)
            else:
                text = ' '.join(str(error).split()) or type(error).__name__
                print(f'error: {text}', file=sys.stderr, flush=True)
            return 2
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            return 130
        except Exception as error:
            log = keep_traceback(error)
            print(f'error: {first_sentence(error)} (traceback: {log})', file=sys.stderr, flush=True)
            return 2

    return run


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


JSON = ('.json',)
PICTURES = ('.png', '.svg', '.pdf')


def check_outputs(
    json: Path | None, picture: Path | None = None, *, inputs: Iterable[str | Path] = ()
) -> None:
    """Check that the files of a command's ``--json`` and ``--picture`` can be written.

    Args:
        json: None writes none.
        picture: None draws none.
        inputs: What the command reads, as its config, and must not replace.

    Raises:
        ValueError: They cannot, or pictures are not of this kind.
    """
    check_output('--json', json, JSON, inputs=inputs)
    check_output('--picture', picture, PICTURES, inputs=inputs)
    check_distinct(json=json, picture=picture)


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
