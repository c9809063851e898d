"""Show a training run in one HTML file: curves, memory, partition, pictures, classes, config."""

from __future__ import annotations

from argparse import Namespace

from rich.console import Console

from ..files.outputs import check_output
from ..files.whole import write_whole
from ..report.run_files import read_run
from ..report.run_report import run_report
from .ending import command
from .progress import progress_bar


@command
def main(args: Namespace) -> None:
    out = args.out or args.work_dir / 'report.html'
    if args.out:
        check_output('--out', out, ('.html',))
    run = read_run(args.work_dir)
    with progress_bar('dry steps', 2) as advance:
        text = run_report(run, advance)
    write_whole(out, text)
    Console().print(f'report: {out}', highlight=False)
