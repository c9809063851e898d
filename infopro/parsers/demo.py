"""Generate street scenes, train on them in local modules, evaluate, and compare the memory.

Example:
    infopro demo
    infopro demo --fresh --iters 1200
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--data-root', type=Path, default=Path('data/streets'))
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--iters', type=int, help="training iterations; the config's if not given")
    parser.add_argument('--train', type=int, default=160, help='scenes to train on')
    parser.add_argument('--val', type=int, default=40, help='scenes to evaluate on')
    parser.add_argument('--size', type=int, nargs=2, default=(256, 512), help='height and width')
    parser.add_argument(
        '--fresh', action='store_true', help='train anew, in a new directory beside an older run'
    )
