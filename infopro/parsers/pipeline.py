"""Simulate training on several devices: local modules on devices of their own, and what else is.

Each number of devices trains on as many images a step in every way: the config's batch times the
number of devices. Data parallelism has a batch on each device, and averages gradients in a ring. In
the local pipeline, cut so that all stages take about as long, the batches follow each other, and
their gradients add up. GPipe and 1F1B, pipelines of end-to-end training, split all images into
micro-batches. All figures are simulated, from the FLOPs and bytes of a step on fake tensors and the
speeds of devices and links.

Example:
    infopro pipeline configs/infopro_deeplabv3_cityscapes.py --devices 2 4 8 16 \\
        --link nvlink pcie 25gbe --device a100 --picture scale.png
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import (
    add_amp_argument,
    add_cfg_options,
    add_config,
    add_method_argument,
    add_recipe_argument,
    add_step_arguments,
)
from ..words import DEVICES, HERE, LINKS


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    add_cfg_options(parser)
    add_step_arguments(parser)
    add_amp_argument(parser)
    add_method_argument(parser)
    add_recipe_argument(parser)
    add = parser.add_argument
    add('--devices', nargs='+', type=int, default=[2, 4, 8, 16], metavar='N', help='how many')
    add('--link', nargs='+', default=['nvlink'], metavar='NAME', help=f'one of {", ".join(LINKS)}')
    devices = f'one of {", ".join(DEVICES)}, or {HERE}: that of this machine, timed'
    add('--device', default='a100', metavar='NAME', help=devices)
    add('--in-flight', type=int, default=2, help='batches between two stages (default: 2)')
    add('--micro-batch', type=int, default=1, help='images of GPipe and 1F1B (default: 1)')
    add('--picture', type=Path, help='draw throughput and memory against devices')
