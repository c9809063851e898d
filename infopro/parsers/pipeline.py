"""Simulate training on several devices: local modules on devices of their own, and what else is.

Each number of devices trains on as many images a step in every way: the config's batch times the
number of devices. Data parallelism has a batch on each device, and averages gradients in a ring.
Pipelines, cut so that all stages take about as long, split the images into micro-batches whose
gradients add up: local modules one after the other, GPipe and 1F1B as end-to-end training has to.
All figures are simulated, from the FLOPs and bytes of a step on fake tensors and the speeds of
devices and links.

With --measure local modules run on processes of this machine, one thread or GPU each, beside the
same modules without each other, one process, and end-to-end training.

Example:
    infopro pipeline configs/infopro_deeplabv3_cityscapes.py --devices 2 4 8 16 \\
        --link nvlink pcie 25gbe --device a100 --picture scale.png
    infopro pipeline configs/camvid/infopro_deeplabv3_r18.py --measure 2 --picture trace.png
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_config_and_step
from ..words import DEVICES, HERE, LINKS


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config_and_step(parser)
    add = parser.add_argument
    add('--devices', nargs='+', type=int, default=[2, 4, 8, 16], metavar='N', help='how many')
    add('--link', nargs='+', default=['nvlink'], metavar='NAME', help=f'one of {", ".join(LINKS)}')
    devices = f'one of {", ".join(DEVICES)}, or {HERE}: that of this machine, timed'
    add('--device', default='a100', metavar='NAME', help=devices)
    add('--in-flight', type=int, default=2, help='batches between two stages (default: 2)')
    add('--micro-batch', type=int, default=1, help='images of one of pipelines (default: 1)')
    add('--measure', type=int, metavar='K', help='train K local modules here instead, by turns')
    add('--rounds', type=int, default=3, help='turns of each way (default: 3)')
    add('--steps', type=int, default=8, help='timed steps a turn (default: 8)')
    picture = (
        'draw throughput and memory against devices, or what each process did when (--measure)'
    )
    add('--picture', type=Path, help=picture)
