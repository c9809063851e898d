"""Try every config that mmseg ships: does it train in local modules?

Each config is taken as it is and in its local form, built without pretrained weights, and steps
once on fake tensors with a batch of two. A parameter that trains in the plain step has to train
in the local one. Configs with the same model and optimizer are tried once.

Example:
    python tools/coverage.py --num-modules 2 4 --families pspnet swin --json coverage.json
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--num-modules', nargs='+', type=int, default=[2, 4], metavar='K')
    parser.add_argument('--families', nargs='+', help='folders of mmseg/configs; all if not given')
    parser.add_argument('--jobs', type=int, default=2, help='processes')
    parser.add_argument('--json', type=Path, help='write what became of each config to this file')
    parser.add_argument('--markdown', type=Path, help='write the table with reasons there')
    parser.add_argument(
        '--time',
        action='store_true',
        help='instead, how long answers take for the first config of each family: planning when '
        'training starts, and tools/fit.py, with an empty cache and with a full one',
    )
    parser.add_argument('--cap', default='40%', metavar='SIZE', help='of --time: %(default)s')
