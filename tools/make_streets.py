"""Draws street scenes in the Cityscapes layout, with polygons for all 19 classes."""

import argparse
import shlex
import sys
from pathlib import Path

from infopro.naming import call_of
from mmseg_infopro.commands import command, progress_bar
from mmseg_infopro.datasets.streets import StreetSettings, write_streets
from mmseg_infopro.files.outputs import check_folder


def parse_args() -> argparse.Namespace:
    """The command line."""
    default = StreetSettings()
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/make_streets.py --out data/streets --train 160 --val 40',
    )
    parser.add_argument('--out', type=Path, required=True, help='a new or empty folder')
    parser.add_argument('--train', type=int, default=default.train, help='training scenes')
    parser.add_argument('--val', type=int, default=default.val, help='validation scenes')
    parser.add_argument('--height', type=int, default=default.height, help='pixels')
    parser.add_argument('--width', type=int, default=default.width, help='pixels')
    parser.add_argument('--seed', type=int, default=default.seed, help='other seed, other scenes')
    parser.add_argument('--workers', type=int, default=2, help='processes; 0: none extra')
    return parser.parse_args()


@command
def main() -> None:
    args = parse_args()
    check_folder('--out', args.out)
    if args.workers < 0:
        raise ValueError(f'--workers must be 0 (no extra process) or more, got {args.workers}')
    settings = StreetSettings(args.train, args.val, args.height, args.width, args.seed)
    with progress_bar('street scenes', len(settings.scenes())) as advance:
        written = write_streets(args.out, settings, workers=args.workers, on_scene=advance)
    print(f'{args.out} {"is complete" if written else "was already complete: nothing was done"}')
    call = shlex.join([*call_of('prepare'), str(args.out)])
    print(f'next, make its label images: {call}')


if __name__ == '__main__':
    sys.exit(main())
