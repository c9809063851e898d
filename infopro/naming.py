"""How to call a tool: as the user has called this one."""

from __future__ import annotations

import sys
from pathlib import Path

from .command import TOOLS


def call_of(name: str) -> list[str]:
    """Return the words that begin a command line.

    Args:
        name: Of the command, ``'gpu-report'``.
    """
    if sys.argv[0].startswith('infopro '):
        return ['infopro', name]
    return ['python', f'tools/{TOOLS[name][0]}.py']


def new_process(name: str) -> list[str]:
    """Return the words that begin the command line of a command in a process of its own."""
    return [sys.executable, '-m', 'infopro', name]


def this_call() -> list[str]:
    """Return the command line of this process, as it was typed."""
    program, *arguments = sys.argv
    if program.startswith('infopro '):
        return [*program.split(), *arguments]
    return ['python', f'tools/{Path(program).stem}.py', *arguments]
