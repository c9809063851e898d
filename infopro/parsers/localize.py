"""Write the local form of any mmseg config: a short config that inherits from it.

Example:
    infopro localize mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py \\
        --num-modules 4 -o configs/local_pspnet_r50.py
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_config, add_partition_arguments


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    add_partition_arguments(parser)
    parser.add_argument('-o', '--out', type=Path, required=True, help='the config to write')
    parser.add_argument(
        '--force', action='store_true', help='overwrite it, and keep a K that saves nothing'
    )
    brief = 'do not try whether fewer modules save as much, nor what would lower the peak'
    parser.add_argument('--brief', action='store_true', help=brief)
