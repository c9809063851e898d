"""What a shell needs to complete ``infopro``: commands, options, their words, and files."""

from __future__ import annotations

from argparse import Action, ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import shtab

from .options import fill_parser
from .words import METHODS, RECIPES

WORDS = {'method': METHODS, 'recipe': tuple(RECIPES)}
"""Words to offer for options that take others, too."""
FOLDERS = ('bed', 'data_root', 'docs', 'pictures', 'root', 'work_dir', 'work_dirs')
"""Arguments that are folders; all others with a value of their own may be files."""


class CompletedParser(ArgumentParser):
    """Says of each argument what its values may be."""

    def add_argument(self, *args: Any, **kwargs: Any) -> Action:
        """Add an argument as any parser does."""
        action = super().add_argument(*args, **kwargs)
        if action.dest in WORDS:
            action.choices = WORDS[action.dest]
        elif action.nargs != 0 and action.choices is None and action.type in (None, Path):
            kind = shtab.DIRECTORY if action.dest in FOLDERS else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]
        return action


def add_arguments(parser: ArgumentParser) -> None:
    """Add what ``infopro completion`` takes."""
    parser.add_argument('shell', choices=shtab.SUPPORTED_SHELLS, help='to complete in')


def completion(shell: str, commands: Mapping[str, tuple[str, str]]) -> str:
    """Return a shell's script.

    Args:
        shell: ``'bash'``, for example.
        commands: By name: its module, and what it does.
    """
    parser = ArgumentParser(prog='infopro')
    parser.add_argument('--version', action='store_true', help='say which this is')
    subparsers = parser.add_subparsers(parser_class=CompletedParser)
    for name, (module, summary) in commands.items():
        fill_parser(subparsers.add_parser(name, help=summary), module)
    add_arguments(subparsers.add_parser('completion', help='complete in a shell'))
    return shtab.complete(parser, shell)
