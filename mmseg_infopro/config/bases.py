"""The files that a config consists of: itself, and all that it inherits from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ..files.outputs import check_output
from .read import config_file


def config_files(file: Path) -> set[Path]:
    """Return a config's file and those of its bases, and theirs; not those of packages.

    Of configs in Python ``_base_ = [...]`` and ``with read_base(): from .name import *`` are read.
    """
    found: set[Path] = set()
    waiting = [file.resolve()]
    while waiting:
        current = waiting.pop()
        if current not in found and current.is_file():
            found.add(current)
            waiting += [path.resolve() for path in _bases(current)]
    return found


def _bases(file: Path) -> Iterator[Path]:
    if file.suffix != '.py':
        return
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == '_base_' for target in statement.targets
        ):
            for part in ast.walk(statement.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield file.parent / part.value
        elif isinstance(statement, ast.With):
            for part in ast.walk(statement):
                if isinstance(part, ast.ImportFrom) and part.level:
                    folder = file.parents[part.level - 1]
                    yield folder.joinpath(*(part.module or '').split('.')).with_suffix('.py')


def check_config_output(option: str, out: Path | None, config: str, *, force: bool) -> None:
    """Check that a config can be written that inherits from another one.

    Args:
        option: That names the file.
        out: The file; None writes nothing.
        config: What the other one is called on the command line.
        force: Whether a file that exists may be replaced.

    Raises:
        ValueError: It cannot; a config must not replace what it inherits from, for example.
    """
    if out is None:
        return
    files = config_files(config_file(config))
    if out.exists() and out.resolve() in files:
        raise ValueError(
            f'{option} {out} is {config} itself or a file that it inherits from, and would inherit '
            'from itself: name another file'
        )
    check_output(option, out, ('.py',), force=force, makes_folder=True)
