"""Measure on a GPU what fake tensors and a CPU cannot tell, and set it beside the predictions.

The rows, the most valuable first: bytes of training steps of eight networks in both precisions,
step times of all ways to train, training under a memory cap and beyond it, the tests that need a
GPU, loss scaling, the largest crop on a card of 24 GB, NCCL, channels-last, torch.compile. Each is
written to OUT/report.json when it is done; OUT/report.md and OUT/report.png show what is there. A
row that fails says why, and the next ones run. Call again to go on where the last call ended.

Plans need no GPU and take longer than the steps: make them elsewhere, and take OUT/plans along.

Example:
    python tools/gpu_report.py --only plan --device cpu      # on any machine
    python tools/gpu_report.py --minutes 9                   # on the GPU, until nothing is left
    python tools/gpu_report.py --only times 'memory/*float16*' --again
    python tools/gpu_report.py --device cpu --small          # everything in miniature
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import monotonic

import torch
from rich.console import Console

from mmseg_infopro.commands import command
from mmseg_infopro.files.outputs import check_folder
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.report.card.content import report_tasks
from mmseg_infopro.report.card.picture import draw_card
from mmseg_infopro.report.card.rows import DONE, CardRow, Ledger
from mmseg_infopro.report.card.tables import as_markdown
from mmseg_infopro.report.card.tasks import BrokenDeviceError, Setup, run_tasks, select
from mmseg_infopro.report.timing import describe_machine, device_at_hand

START = monotonic()
DRAWN = ('memory', 'times')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--out', type=Path, default=Path('work_dirs/gpu_report'), help='folder of the report')
    add('--only', nargs='+', default=[], metavar='ROW', help='sections, or SECTION/NAME with *')
    add('--minutes', type=float, help='start no row that would take longer than so many in all')
    add('--again', action='store_true', help='run rows that failed once more')
    add('--device', choices=['cuda', 'cpu'], help='to run on; a GPU where there is one')
    add('--small', action='store_true', help='tiny networks, few steps: does everything run?')
    add('--list', action='store_true', help='print the rows and what became of them, run none')
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f'--minutes must be above 0, got {args.minutes}')
    check_folder('--out', args.out)
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('--device cuda needs a GPU, and torch finds none on this machine')


def line(row: CardRow) -> str:
    place = f'{row.section}/{row.name}'
    return f'{row.state:8}{row.seconds:7.1f} s  {place}' + (
        f': {row.failure}' if row.failure else ''
    )


def write(ledger: Ledger, out: Path) -> None:
    write_whole(out / 'report.md', as_markdown(ledger.machine, ledger.rows))
    if any(row.state == DONE and row.section in DRAWN for row in ledger.rows):
        draw_card(ledger.machine, ledger.rows, out / 'report.png')


@command
def main() -> int:
    args = parse_args()
    check_arguments(args)
    setup = Setup(args.device or device_at_hand(), args.small, args.out)
    tasks = report_tasks(setup)
    chosen = select(tasks, args.only)
    order = [(task.section, task.name) for task in tasks]
    args.out.mkdir(parents=True, exist_ok=True)
    machine = dict(describe_machine(setup.device), small=setup.small)
    ledger = Ledger(args.out / 'report.json', machine)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if args.list:
        for task in chosen:
            row = ledger.find(task.section, task.name)
            console.print(line(row) if row else f'to run            {task.section}/{task.name}')
        return 0
    end = float('inf') if args.minutes is None else START + 60 * args.minutes
    broken = None
    try:
        left = run_tasks(
            chosen,
            ledger,
            setup,
            order,
            lambda: end - monotonic(),
            args.again,
            lambda row: console.print(line(row)),
        )
    except BrokenDeviceError as error:
        broken, left = str(error), None
    write(ledger, args.out)
    if broken:
        console.print(broken)
    elif left:
        console.print(f'no time left for {left.section}/{left.name}: call again to go on')
    else:
        console.print(f'all rows have run: {args.out / "report.md"}')
    return 3 if broken or left else 0


if __name__ == '__main__':
    sys.exit(main())
