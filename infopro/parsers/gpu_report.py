"""Measure on a GPU what fake tensors and a CPU cannot tell, and set it beside the predictions.

The rows, the most valuable first: bytes of training steps of eight networks in both precisions,
step times of all ways to train, training under a memory cap and beyond it, the tests that need a
GPU, loss scaling, the largest crop on a card of 24 GB, NCCL, channels-last, torch.compile. Each is
written to OUT/report.json when it is done; OUT/report.md and OUT/report.png show what is there. A
row that fails says why, and the next ones run. Call again to go on where the last call ended.

Plans need no GPU and take longer than the steps: make them elsewhere, and take OUT/plans along.

Example:
    infopro gpu-report --only plan --device cpu      # on any machine
    infopro gpu-report --minutes 9                   # on the GPU, until nothing is left
    infopro gpu-report --only times 'memory/*float16*' --again
    infopro gpu-report --device cpu --small          # everything in miniature
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add = parser.add_argument
    add('--out', type=Path, default=Path('work_dirs/gpu_report'), help='folder of the report')
    add('--only', nargs='+', default=[], metavar='ROW', help='sections, or SECTION/NAME with *')
    add('--minutes', type=float, help='start no row that would take longer than so many in all')
    add('--again', action='store_true', help='run rows that failed once more')
    add('--device', choices=['cuda', 'cpu'], help='to run on; a GPU where there is one')
    add('--small', action='store_true', help='tiny networks, few steps: does everything run?')
    add('--list', action='store_true', help='print the rows and what became of them, run none')
