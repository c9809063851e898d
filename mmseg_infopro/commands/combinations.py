"""Try every method of local learning with everything that a run may combine it with."""

from __future__ import annotations

from argparse import Namespace

from rich.console import Console

from ..files.outputs import check_output
from ..files.whole import write_whole
from ..report.combinations import as_markdown, try_all
from ..report.tiny import tiny_configs
from .ending import command
from .progress import progress_bar


@command
def main(args: Namespace) -> int:
    check_output('--out', args.out, ('.md',))
    cfgs = tiny_configs(args.methods)
    with progress_bar('methods', len(cfgs)) as advance:
        table = try_all(cfgs, advance)
    text = as_markdown(table)
    Console().print(text, highlight=False, soft_wrap=True)
    if args.out:
        write_whole(args.out, text)
    return int(any(cell.startswith('FAILS') for cells in table.values() for cell in cells.values()))
