"""Train end to end and in two local modules at the same time, and show both side by side.

Street scenes are drawn, both train on them, each on a core of its own, and a table, a picture and a
report of each say what came out. Called again it goes on where it was; what has ended is shown.

Example:
    infopro demo
    infopro demo --fresh --iters 1200
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add('--data-root', type=Path, default=Path('data/streets'), help='(default: %(default)s)')
    add('--work-dir', type=Path, default=Path('work_dirs/demo'), help='(default: %(default)s)')
    add('--iters', type=int, help="training iterations; the config's if not given")
    add('--train', type=int, default=160, help='scenes to train on (default: %(default)s)')
    add('--val', type=int, default=40, help='scenes to evaluate on (default: %(default)s)')
    add('--size', type=int, nargs=2, default=(256, 512), help='height and width')
    add('--fresh', action='store_true', help='train anew, in a new directory beside an older run')
