"""Configs that are written beside what they inherit from, never over it."""

from __future__ import annotations

from pathlib import Path

from ..files.outputs import check_output
from .inheritance import config_files
from .read import config_file


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
