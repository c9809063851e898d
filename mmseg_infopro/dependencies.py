"""What we depend on: says what is missing or installed twice, and imports it without noise."""

import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

# The distributions that provide each module. Any two of them overwrite each other's files.
PROVIDERS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
}

PRINTED = 'Could not import OneDL'
"""What mmseg prints when it is imported without its vendor's other packages."""
WARNED = '.*MultiScaleDeformableAttention'
"""What mmcv warns of where its compiled operators are missing; those that use them say so."""

LOGGED = ('bitsandbytes', 'torchao', 'torch.utils')
"""Loggers that warn of kernels which this machine has no use for, and of torchao's own code."""


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Context in which to import others' packages without what nobody can act on."""
    printed = io.StringIO()
    levels = {name: logging.getLogger(name).level for name in LOGGED}
    try:
        for name in LOGGED:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(printed):
            warnings.filterwarnings('ignore', message=WARNED)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for line in printed.getvalue().splitlines():
            if line != PRINTED:
                print(line)


def is_upstreams(filename: str) -> bool:
    """Whether a warning raised there is about how upstream is written: nobody can act on it."""
    return 'site-packages' in filename or filename.startswith(str(Path(__file__).parent))


@contextmanager
def quiet_warnings(log: Callable[[str, str, int], None] | None = None) -> Iterator[None]:
    """Context in which the console shows those warnings of Python only that are the user's.

    Args:
        log: Gets text, file and line of all of them.
    """
    with warnings.catch_warnings():
        set_quiet_warnings(log)
        yield


def set_quiet_warnings(log: Callable[[str, str, int], None] | None = None) -> None:
    """Do for good what :func:`quiet_warnings` does."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        if log is not None:
            log(text, filename, lineno)
        if not is_upstreams(filename):
            print(text, file=file or sys.stderr)

    warnings.showwarning = show


def require_mmseg() -> None:
    """Check that mmengine, mmcv and mmseg are there, each from one distribution only.

    It looks for the modules without importing them, so it is to be called before the first import
    that needs them. The check for two distributions reads the installed metadata: a module that is
    only on the path, such as a source checkout, does not count.

    Raises:
        ImportError: A module is missing, or two distributions provide the same one.
    """
    missing = [module for module in PROVIDERS if find_spec(module) is None]
    if missing:
        raise ImportError(
            f'mmseg_infopro needs mmengine, mmcv and mmseg, but {_join(missing)} '
            f'{"is" if len(missing) == 1 else "are"} not installed: '
            'run `pip install mmseg-infopro[onedl]`.'
        )
    for module, providers in PROVIDERS.items():
        installed = [name for name in providers if _is_installed(name)]
        if len(installed) > 1:
            raise ImportError(
                f'{_join(installed)} provide the same module, {module}, and overwrite each other: '
                f'run `pip uninstall {" ".join(installed)}`, then '
                '`pip install mmseg-infopro[onedl]`.'
            )


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _join(names: list[str]) -> str:
    return ' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)
