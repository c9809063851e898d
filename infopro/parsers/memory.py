"""Show the peak memory of a training step: end-to-end, with gradient checkpointing, and local.

The step runs on fake tensors: nothing is allocated, no GPU is needed, and it takes seconds. The
bytes are those of tensors; a device adds its context, workspaces and fragmentation. With --device
cuda the steps run for real as well, and what torch measured stands beside the prediction.

Example:
    infopro memory configs/infopro_deeplabv3_cityscapes.py --num-modules 2 4 \\
        --picture memory.png
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_config_and_step, add_counts


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config_and_step(parser)
    add_counts(parser)
    parser.add_argument('--device', choices=['fake', 'cuda'], default='fake', help='to step on')
    parser.add_argument('--brief', action='store_true', help='do not try what would lower the peak')
    parser.add_argument('--picture', type=Path, help='draw the bytes alive over the step')
