"""Say what fits a memory cap: which local modules, what they recompute, how large a step.

For end-to-end training, gradient checkpointing and local modules: the peak at the config's batch
and crop, whether that fits, the largest batch at this crop and the largest crop at this batch; and
which way to take. All steps run on fake tensors; the cap is what a card may hold, of which --margin
is not for tensors. What was measured is kept in the user's cache folder, for the next command.

Example:
    infopro fit configs/infopro_deeplabv3_cityscapes.py --cap 11GiB -o fitting.py
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import CAP, add_config_and_step
from ..words import DEFAULT_MARGIN, RECOMPUTE


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config_and_step(parser)
    parser.add_argument(
        '--cap',
        '--memory-cap',
        required=True,
        metavar='SIZE',
        help=f'what a card may hold: {CAP}',
    )
    parser.add_argument(
        '--margin',
        default=DEFAULT_MARGIN,
        metavar='SIZE',
        help='of it, not for tensors (default: %(default)s)',
    )
    parser.add_argument(
        '--num-modules',
        nargs='+',
        type=int,
        metavar='K',
        help='numbers of local modules to try (default: 1 with auto, 2, 4, 8 where there are)',
    )
    parser.add_argument(
        '--recompute',
        choices=RECOMPUTE,
        help='inside the local modules (default: as --recipe says, auto without one)',
    )
    parser.add_argument(
        '-o', '--out', type=Path, help='write the config of the recommended way here'
    )
    parser.add_argument('--force', action='store_true', help='overwrite it')
