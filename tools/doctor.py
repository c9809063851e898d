"""Say what is installed, which GPU there is, and what would fail.

Example:
    python tools/doctor.py
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from mmseg_infopro.commands import command
from mmseg_infopro.run.doctor import findings


@command
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    table = Table(show_header=False, box=None)
    failures = 0
    for finding in findings():
        failures += finding.fails
        style = 'red' if finding.fails else None
        table.add_row(finding.name, finding.text, style=style)
    console = Console()
    console.print(table)
    if failures:
        console.print(f'{failures} of these will fail')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
