"""What a config inherits from, told by its text: reading it would run it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


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
            waiting += [path.resolve() for path in bases_of(current)]
    return found


def bases_of(file: Path) -> Iterator[Path]:
    """Yield the files that a config names as its bases; they need not exist."""
    if file.suffix != '.py':
        return
    try:
        statements = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):  # it cannot be read, which its reader says
        return
    for statement in statements:
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


def check_no_circle(file: Path) -> None:
    """Check that no config inherits from itself; mmengine would read it for ever.

    Raises:
        ValueError: One does.
    """
    _visit(file.resolve(), (), set())


def _visit(file: Path, above: tuple[Path, ...], seen: set[Path]) -> None:
    if file in above:
        names = [path.name for path in (*above[above.index(file) :], file)]
        raise ValueError(f'it inherits from itself: {" <- ".join(names)}')
    if file in seen or not file.is_file():
        return
    seen.add(file)
    for base in bases_of(file):
        _visit(base.resolve(), (*above, file), seen)
