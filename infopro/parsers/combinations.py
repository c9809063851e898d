"""Try every method of local learning with everything that a run may combine it with.

All run on one tiny network, for a few steps; the table says what works, what is refused, and why.

Example:
    python tools/combinations.py --out docs/combinations.md
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='some of them; all by default')
    parser.add_argument('--out', type=Path, help='write the table to this Markdown file as well')
