"""Show a training run in one HTML file: curves, memory, partition, pictures, classes, config.

The file holds all that it shows, and opens in any browser. A run that goes on, or was killed, is
shown as far as it got.

Example:
    infopro report work_dirs/infopro_deeplabv3_r18 --out report.html
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('work_dir', type=Path, help='of the run')
    parser.add_argument('--out', type=Path, help='(default: report.html in the work dir)')
