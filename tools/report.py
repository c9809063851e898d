"""Show a training run in one HTML file: curves, memory, partition, pictures, classes, config.

The file holds all that it shows, and opens in any browser. A run that goes on, or was killed, is
shown as far as it got.

Example:
    python tools/report.py work_dirs/infopro_deeplabv3_r18 --out report.html
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mmseg_infopro.commands import command, progress_bar
from mmseg_infopro.files.outputs import check_output
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.report.run_files import read_run
from mmseg_infopro.report.run_report import run_report


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir', type=Path, help='of the run')
    parser.add_argument('--out', type=Path, help='(default: report.html in the work dir)')
    return parser.parse_args()


@command
def main() -> None:
    args = parse_args()
    out = args.out or args.work_dir / 'report.html'
    if args.out:
        check_output('--out', out, ('.html',))
    run = read_run(args.work_dir)
    with progress_bar('dry steps', 2) as advance:
        text = run_report(run, advance)
    write_whole(out, text)
    Console().print(f'report: {out}', highlight=False)


if __name__ == '__main__':
    sys.exit(main())
