"""What of a run's log the console shows: what a user can act on; the log file has all of it."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import TextIO

from mmengine.logging import MMLogger

from ..dependencies import set_quiet_warnings
from ..local.names import losses_by_module

PACKAGE = str(Path(__file__).resolve().parents[1])
TOLD = (
    'Saving checkpoint',
    'The best checkpoint',
    'Load checkpoint from',
    'resumed epoch',
    'per class results',
    'Epoch(val)',
    'Iter(val)',
    'Epoch(test)',
    'Iter(test)',
)
"""Beginnings of upstream's messages that are worth a line; of its tables of results too."""
HUSHED = (
    'Failed to search registry with scope',
    'The prefix is not set in metric class',
    '"HardDiskBackend" is the alias',
    '"FileClient" will be deprecated',
)
"""Beginnings of upstream's warnings that nobody who runs a config can do anything about."""
PAIR = re.compile(r'(\S+): (\d\S*|nan|inf)')
WIDTH = 140


class ConsoleFilter(logging.Filter):
    """Lets through warnings, our own messages, iterations and results; not configs or versions."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the console shows a record."""
        message = record.getMessage().lstrip('\n')
        if record.levelno >= logging.WARNING:
            return not message.startswith(HUSHED)
        is_table = message.startswith('+--')
        return (
            record.pathname.startswith(PACKAGE)
            or is_table
            or is_iteration(message)
            or message.startswith(TOLD)
        )


class ConsoleHandler(logging.StreamHandler):
    """Writes to what ``sys.stdout`` is at the time: a live progress bar puts itself there.

    Attributes:
        modules: Show each local module's part of the loss in a second line.
    """

    modules = False

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.addFilter(ConsoleFilter())

    @property
    def stream(self) -> TextIO:
        """Return the standard output as it is now."""
        return sys.stdout

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        pass

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's text: of an iteration one line."""
        message = record.getMessage()
        if is_iteration(message):
            message = short_iteration(message, self.modules)
        level = '' if record.levelno < logging.WARNING else f'{record.levelname.lower()}: '
        return f'{level}{message}'


def quieten(logger: MMLogger) -> None:
    """Let a logger's console show what a user can act on, and its file the rest as well.

    Warnings of Python go to the file if upstream raises them, and to both if the user's code does.
    """
    for handler in list(logger.handlers):
        if type(handler) is logging.StreamHandler:
            quiet = ConsoleHandler()
            quiet.setLevel(handler.level)
            logger.handlers[logger.handlers.index(handler)] = quiet
    _log_warnings([one for one in logger.handlers if isinstance(one, logging.FileHandler)])


def show_module_losses(logger: MMLogger) -> None:
    """Let the lines of iterations be followed by one with each module's losses."""
    for handler in logger.handlers:
        if isinstance(handler, ConsoleHandler):
            handler.modules = True


def is_iteration(message: str) -> bool:
    """Whether mmengine's logger hook wrote this about a training iteration."""
    return message.startswith(('Iter(train)', 'Epoch(train)'))


def short_iteration(message: str, modules: bool = False) -> str:
    """Return an iteration's message within 140 columns: where it is, rate, time and total loss.

    Args:
        message: As mmengine writes it: ``'Iter(train) [ 50/100]  lr: ...  loss: ...'``.
        modules: Add a line with the sums of each local module's losses and of the tail's.
    """
    position = message[: message.index(']', message.rindex('/')) + 1]
    values = PAIR.findall(message[len(position) :])
    eta = re.search(r'eta: (.*?)  ', message)
    kept = {name: value for name, value in values if '.' not in name}
    parts = [position, f'loss: {kept.get("loss", "none")}']
    parts += [f'{name}: {kept[name]}' for name in ('grad_norm', 'lr', 'time') if name in kept]
    parts += [f'memory: {kept["memory"]} MiB'] if 'memory' in kept else []
    parts += [f'eta: {eta[1]}'] if eta else []
    line = '  '.join(parts)[:WIDTH]
    if not modules:
        return line
    sums = losses_by_module({name: float(value) for name, value in values})
    return f'{line}\n    ' + '  '.join(f'{module}: {total:.4f}' for module, total in sums.items())


def _log_warnings(files: list[logging.FileHandler]) -> None:
    """Take Python's warnings into log files, and off the console those that are not the user's."""

    def log(text: str, filename: str, line: int) -> None:
        record = logging.LogRecord('warnings', logging.WARNING, filename, line, text, (), None)
        for handler in files:
            handler.handle(record)

    set_quiet_warnings(log)
