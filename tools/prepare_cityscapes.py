"""Checks a Cityscapes tree (or street scenes) and makes its label images from the polygons."""

import argparse
import sys
from pathlib import Path

from mmseg_infopro.commands import command, progress_bar
from mmseg_infopro.datasets.cityscapes_tree import MASKS, inspect_tree, prepare_tree


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/prepare_cityscapes.py data/cityscapes --workers 8. '
        'exit codes: 0 ready, 1 label images still to be made (--check-only), 2 error.',
    )
    parser.add_argument('root', type=Path, help='the folder with leftImg8bit/ and gtFine/')
    parser.add_argument('--workers', type=int, default=2, help='processes; 0: none extra')
    parser.add_argument('--check-only', action='store_true', help='look, but write nothing')
    return parser.parse_args()


@command
def main() -> int:
    args = parse_args()
    report = inspect_tree(args.root)
    for note in report.notes:
        print(f'note: {note}')
    for problem in report.problems:
        print(f'error: {problem}', file=sys.stderr)
    if report.problems:
        return 2
    if args.check_only:
        pending = sum(len(frame.pending()) for frame in report.frames)
        print(f'{pending} of {len(report.frames) * len(MASKS)} label images are to be made')
        return 1 if pending else 0
    with progress_bar('label images', len(report.frames)) as advance:
        made = prepare_tree(report.frames, workers=args.workers, on_frame=advance)
    print(f'{args.root} is ready: {len(report.frames)} frames, {made} label images made')
    return 0


if __name__ == '__main__':
    sys.exit(main())
