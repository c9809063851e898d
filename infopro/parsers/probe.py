"""Show what each unit of a trained network still knows of the labels and of the image.

The network is frozen. After every unit a linear classifier, a head of two layers and a decoder of
the image train anew and are tried on the validation images: how separable the classes are, what a
later module could still make of it, and what is left of the image. Compare networks trained in
several ways by --with and the --json of each.

Example:
    infopro probe work_dirs/k4/infopro_deeplabv3_r18.py work_dirs/k4/iter_2500.pth \\
        --json k4.json --with e2e.json --picture probe.png
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_cfg_options, add_config


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser)
    add_cfg_options(parser)
    add = parser.add_argument
    add('checkpoint', help='of a training with this config')
    add('--boundaries', nargs='+', metavar='UNIT', help='units to probe (default: all)')
    add('--iters', type=int, default=300, help='of the fresh heads (default: 300)')
    add('--images', type=int, metavar='N', help='validation images to try them on (default: all)')
    add('--name', help="in tables and pictures (default: the checkpoint's folder)")
    add('--json', type=Path, help='write the figures to this file as well')
    add('--with', dest='others', nargs='+', type=Path, default=[], metavar='JSON', help='compare')
    add('--picture', type=Path, help='draw the figures over the units')
    add('--reconstructions', type=Path, help="draw what the network's own local heads rebuild")
