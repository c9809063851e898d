"""Check a Cityscapes tree (or street scenes) and make its label images from the polygons.

Exit codes: 0 ready, 1 label images still to be made (--check-only), 2 error.

Example:
    infopro prepare data/cityscapes --workers 8
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('root', type=Path, help='the folder with leftImg8bit/ and gtFine/')
    parser.add_argument('--workers', type=int, default=2, help='processes; 0: none extra')
    parser.add_argument('--check-only', action='store_true', help='look, but write nothing')
