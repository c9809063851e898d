"""What recipes cost, and what local modules do: measured on one network, for the help and the docs.

Example:
    python tools/recipes.py --docs docs/recipes.md
    python tools/recipes.py --measure mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--measure', metavar='CONFIG', help='measure anew, on this config')
    parser.add_argument('--num-modules', nargs='+', type=int, default=[2, 4, 8], metavar='K')
    parser.add_argument('--docs', type=Path, help='write the page of the docs')
