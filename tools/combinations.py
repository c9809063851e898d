"""Try every method of local learning with everything that a run may combine it with.

All run on one tiny network, for a few steps; the table says what works, what is refused, and why.

Example:
    python tools/combinations.py --out docs/combinations.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mmseg_infopro.commands import command, progress_bar
from mmseg_infopro.files.outputs import check_output
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.report.combinations import as_markdown, try_all
from mmseg_infopro.report.tiny import tiny_configs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='some of them; all by default')
    parser.add_argument('--out', type=Path, help='write the table to this Markdown file as well')
    return parser.parse_args()


@command
def main() -> int:
    args = parse_args()
    check_output('--out', args.out, ('.md',))
    cfgs = tiny_configs(args.methods)
    with progress_bar('methods', len(cfgs)) as advance:
        table = try_all(cfgs, advance)
    text = as_markdown(table)
    Console().print(text, highlight=False, soft_wrap=True)
    if args.out:
        write_whole(args.out, text)
    return int(any(cell.startswith('FAILS') for cells in table.values() for cell in cells.values()))


if __name__ == '__main__':
    sys.exit(main())
