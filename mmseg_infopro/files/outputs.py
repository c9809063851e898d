"""What a command will write is checked before its work, which takes minutes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path


def check_output(
    option: str,
    file: Path | None,
    suffixes: Sequence[str] = (),
    *,
    inputs: Iterable[str | Path] = (),
    force: bool = True,
    makes_folder: bool = False,
) -> None:
    """Check that a command will be able to write a file, and harms none by it.

    Args:
        option: That names the file, as ``--out``.
        file: None writes nothing.
        suffixes: The ones that are valid; any if none is given.
        inputs: Files that the command reads, which it must not replace.
        force: Whether a file that exists may be replaced.
        makes_folder: Whether the file's folder need not exist.

    Raises:
        ValueError: It cannot be written, or must not be.
    """
    if file is None:
        return
    read = [Path(path) for path in inputs]
    if any(file.exists() and path.exists() and file.samefile(path) for path in read):
        raise ValueError(f'{option} {file} is what the command reads; name another file')
    is_special = file.exists() and not file.is_file() and not file.is_dir()  # as /dev/stdout
    if suffixes and file.suffix not in suffixes and not is_special:
        raise ValueError(f'{option} must end in {", ".join(suffixes)}, got {file}')
    if file.is_dir() or str(file).endswith(os.sep):
        raise ValueError(f'{option} {file} is a folder; name a file in it')
    if file.exists() and not force:
        raise ValueError(f'{file} already exists: name another file, or say --force')
    folder = _existing(file.parent) if makes_folder else file.parent
    if not folder.is_dir():
        raise ValueError(f'{option} {file}: there is no folder {folder}')
    if not _can_write(folder, is_special) or (file.exists() and not os.access(file, os.W_OK)):
        raise ValueError(f'{option} {file} cannot be written: {folder} gives no right to')


def check_folder(option: str, folder: Path) -> None:
    """Check that a command will be able to write into a folder, which need not exist.

    Raises:
        ValueError: It is a file, or in a place that nobody may write to.
    """
    existing = _existing(folder)
    if existing.is_symlink() and not existing.exists():
        raise ValueError(f'{option} {folder}: {existing} is a dead link, no folder')
    if not existing.is_dir():
        raise ValueError(f'{option} {folder}: {existing} is a file, no folder')
    if not _can_write(existing):
        raise ValueError(f'{option} {folder} cannot be written: {existing} gives no right to')


def _existing(path: Path) -> Path:
    """Return what is there of a path: itself, or the nearest of its parents."""
    while not (path.exists() or path.is_symlink()) and path != path.parent:
        path = path.parent
    return path


def _can_write(folder: Path, is_special: bool = False) -> bool:
    """Whether a file can be made in a folder; what the rights say is not true of all systems."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return is_special  # which is written in its place


def check_distinct(**files: Path | None) -> None:
    """Check that no two options name the same file.

    Raises:
        ValueError: Two do; only what was written last would be left.
    """
    named: dict[Path, str] = {}
    for option, file in files.items():
        if file is not None:
            other = named.setdefault(file.resolve(), option)
            if other != option:
                raise ValueError(f'--{other} and --{option} name the same file {file}')
