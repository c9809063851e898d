"""Draw street scenes in the Cityscapes layout, with polygons for all 19 classes.

Example:
    infopro streets --out data/streets --train 160 --val 40
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add('--out', type=Path, required=True, help='a new or empty folder')
    add('--train', type=int, default=160, help='training scenes (default: %(default)s)')
    add('--val', type=int, default=40, help='validation scenes (default: %(default)s)')
    add('--height', type=int, default=256, help='pixels (default: %(default)s)')
    add('--width', type=int, default=512, help='pixels (default: %(default)s)')
    add('--seed', type=int, default=0, help='other seed, other scenes')
    add('--workers', type=int, default=2, help='processes; 0: none extra')
