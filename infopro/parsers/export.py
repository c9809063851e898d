"""Write a trained model as a plain mmsegmentation config and checkpoint, without local heads.

Both need nothing of this package (what still does is named), and give the same output bit for bit.

Example:
    infopro export configs/infopro_deeplabv3_cityscapes.py work_dirs/first/iter_40000.pth \\
        --out exported
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_cfg_options, add_config


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser, trusted=True)
    add_cfg_options(parser)
    parser.add_argument('checkpoint', help='a file')
    parser.add_argument('--out', type=Path, required=True, help='a new or empty folder')
