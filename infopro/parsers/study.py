"""Train a grid of ways, numbers of local modules and seeds on one bed, and say what differs.

A bed is a folder with a bed.json: the config, the boundaries for each K, options of all runs. Each
run is one of infopro train and leaves a small record beside it. A study that was stopped goes on
where it was: finished runs are kept, others resume from their checkpoints. --report makes tables
and pictures of the records that are there.

With --cap, every way trains what fits: the bed's own step or, first of a smaller batch, down to 2,
then of a smaller crop; ways with local modules get the boundaries and the recomputing that fit.
Learning rates are linear in the batch. All see as many images as the bed's own run; under the
smallest cap each trains once more, for as long as that run takes. Steps are timed by turns before:
have nothing run beside.

Example:
    infopro study docs/study/camvid_r18 --ways e2e infopro:4 infopro/paper:4 \\
        --seeds 0 1 2 --jobs 2 --hours 4
    infopro study docs/study/camvid_r18 --ways e2e k1_auto infopro:4 --cap 60% 25%
    infopro study docs/study/camvid_r18 --report
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_cfg_options


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add('bed', type=Path, help='folder with a bed.json; records go there, too')
    words = 'e2e, with_cp, k1_auto (with --cap), METHOD:K or METHOD/HEADS:K'
    either = parser.add_mutually_exclusive_group(required=True).add_argument
    either('--ways', nargs='+', metavar='WAY', help=words)
    either('--report', action='store_true', help='make tables and pictures of the records')
    add(
        '--cap', nargs='+', metavar='SIZE', help='compare under caps: 25%% of E2E, or 1GiB, tensors'
    )
    add('--seeds', nargs='+', type=int, default=[0], help='(default: 0)')
    add('--jobs', type=int, default=1, help='runs at a time (default: 1)')
    add('--threads', type=int, default=1, help='of each run (default: 1)')
    add('--plan', action='store_true', help='say what would be run and how long, and stop')
    add('--hours', type=float, help='refuse a grid of more core-hours')
    add('--work-dirs', type=Path, default=Path('work_dirs/study'), help='for logs and checkpoints')
    add_cfg_options(parser)
    add('--mixed', action='store_true', help='take records of several states of the project')
