"""Say what is installed, which GPU there is, and what would fail."""

from __future__ import annotations

from argparse import Namespace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..run.doctor import findings
from .ending import command


@command
def main(args: Namespace) -> int:
    table = Table(show_header=False, box=None)
    failures = 0
    for finding in findings():
        failures += finding.fails
        style = 'red' if finding.fails else None
        table.add_row(Text(finding.name), Text(finding.text), style=style)
    console = Console()
    console.print(table)
    if failures:
        console.print(f'{failures} of these will fail')
    return 1 if failures else 0
