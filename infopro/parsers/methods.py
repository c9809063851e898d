"""The methods of local learning: what they cost, their pictures, and the page of the docs.

Example:
    python tools/methods.py --costs configs/infopro_deeplabv3_cityscapes.py --num-modules 4 8 \\
        --methods dgl man --json docs/methods.json
    python tools/methods.py --json docs/methods.json --pictures docs/pictures/methods \\
        --docs docs
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='some of them; all by default')
    parser.add_argument('--costs', metavar='CONFIG', help='measure peak and FLOPs on this config')
    parser.add_argument('--num-modules', nargs='+', type=int, default=[4, 8], metavar='K')
    parser.add_argument('--json', type=Path, required=True, help='where the costs are kept')
    parser.add_argument('--pictures', type=Path, help='draw a picture of each into this folder')
    parser.add_argument('--docs', type=Path, help='write the pages into this folder')
