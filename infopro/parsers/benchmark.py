"""Compare ways to train one config: end-to-end, with gradient checkpointing, and locally.

Each row is a number of local modules, what they recompute, and a precision. It shows the predicted
peak of a training step (a dry step on fake tensors), its FLOPs, and how long a real step takes on
this machine: on the GPU, with the memory that torch measured, or else on the CPU. The real steps
train random weights on random data. They are taken by turns, so that a machine that is slow for a
while is slow for all of them.

With --processes K there is a table more: end-to-end training and K local modules, each on one
process and on K of them (data parallel, and one local module a process), with images per second,
the predicted peak of each process, and FLOPs. These race by turns as in infopro pipeline --measure
K, with one thread or GPU for each process.

Example:
    infopro benchmark configs/infopro_deeplabv3_cityscapes.py --num-modules 1 2 4 \\
        --recompute none cheap auto --cap 8GiB 5GiB --amp none bfloat16 \\
        --json benchmark.json --picture benchmark.png
    infopro benchmark configs/camvid/infopro_deeplabv3_r18.py --num-modules 2 --levers
    infopro benchmark configs/camvid/infopro_deeplabv3_r18.py --num-modules 2 --processes 2
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_config_and_step, add_counts
from ..words import PRECISIONS, RECOMPUTE


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config_and_step(parser, compares=True)
    add_counts(parser)
    add = parser.add_argument
    add(
        '--recompute',
        nargs='+',
        choices=RECOMPUTE,
        help='what local modules compute a second time; if not given, all but auto without --cap',
    )
    add(
        '--cap',
        nargs='+',
        default=(),
        metavar='SIZE',
        help="what auto recomputes for, one row each: 5GiB of tensors, or 40%% of E2E's",
    )
    add(
        '--amp',
        nargs='+',
        choices=PRECISIONS,
        default=(None,),
        help="mixed precisions to compare, or none; without it, the config's own",
    )
    add(
        '--levers',
        action='store_true',
        help='a row for each lever, on local modules without any, and for each recipe; without '
        '--recompute in place of the rows that recompute',
    )
    add(
        '--processes',
        nargs='+',
        type=int,
        default=(),
        metavar='K',
        help='also K local modules on K processes of this machine, and end to end on as many; the '
        "modules recompute as the config has it ('auto': as 'cheap'), whatever --recompute says",
    )
    add('--rounds', type=int, default=4, help='turns of each row (default: 4)')
    add('--steps', type=int, default=3, help='timed steps a turn, after a warm-up (default: 3)')
    add('--no-time', action='store_true', help='take no real steps: peak and FLOPs only')
    add('--picture', type=Path, help='draw memory against time, or against FLOPs (--no-time)')
