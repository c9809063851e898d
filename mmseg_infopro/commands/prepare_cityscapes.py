"""Check a Cityscapes tree (or street scenes) and make its label images from the polygons."""

import sys
from argparse import Namespace

from ..datasets.cityscapes_tree import MASKS, inspect_tree, prepare_tree
from .ending import command
from .progress import progress_bar


@command
def main(args: Namespace) -> int:
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
