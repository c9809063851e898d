"""Train a model in local modules, or any other mmseg model, from a config.

Example:
    infopro train configs/infopro_deeplabv3_cityscapes.py --work-dir work_dirs/first \\
        --cfg-options model.local.num_modules=4
    infopro train mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py \\
        --num-modules 4
"""

from __future__ import annotations

from argparse import ArgumentParser

from ..options import add_cfg_options, add_config, add_launcher_arguments, add_partition_arguments
from ..words import PLACEMENTS


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser, trusted=True)
    add_cfg_options(parser)
    add_partition_arguments(parser)
    parser.add_argument(
        '--force', action='store_true', help='keep a --num-modules that saves nothing'
    )
    parser.add_argument(
        '--placement',
        choices=PLACEMENTS,
        help='of the local modules on several processes: replicate, each process has all; '
        'pipeline, each has one, and works on another batch than the next',
    )
    parser.add_argument(
        '--modules',
        type=int,
        metavar='K',
        help='the same as --num-modules K --placement pipeline',
    )
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the last checkpoint in the work dir; a run that torchrun restarts does so '
        'without it',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision in float16; optim_wrapper.dtype=bfloat16 in --cfg-options',
    )
    parser.add_argument(
        '--module-losses', action='store_true', help="log each module's losses on the console, too"
    )
    parser.add_argument(
        '--pictures',
        type=int,
        metavar='N',
        help='draw N validation images each time: prediction, and what every local module '
        'rebuilds; not in a pipeline',
    )
    add_launcher_arguments(parser)
