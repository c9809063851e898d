"""Measure on a GPU what fake tensors and a CPU cannot tell, and set it beside the predictions."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from time import monotonic

import torch
from rich.console import Console

from ..files.outputs import check_folder
from ..files.whole import write_whole
from ..report.card.content import report_tasks
from ..report.card.picture import draw_card
from ..report.card.rows import DONE, CardRow, Ledger
from ..report.card.tables import as_markdown
from ..report.card.tasks import BrokenDeviceError, Setup, run_tasks, select
from ..report.timing import describe_machine, device_at_hand
from .ending import command

START = monotonic()
DRAWN = ('memory', 'times')


def check_arguments(args: Namespace) -> None:
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
def main(args: Namespace) -> int:
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
