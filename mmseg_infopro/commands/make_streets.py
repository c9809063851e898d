"""Draw street scenes in the Cityscapes layout, with polygons for all 19 classes."""

import shlex
from argparse import Namespace

from infopro.naming import call_of

from ..datasets.streets import StreetSettings, write_streets
from ..files.outputs import check_folder
from .ending import command
from .progress import progress_bar


@command
def main(args: Namespace) -> None:
    check_folder('--out', args.out)
    if args.workers < 0:
        raise ValueError(f'--workers must be 0 (no extra process) or more, got {args.workers}')
    settings = StreetSettings(args.train, args.val, args.height, args.width, args.seed)
    with progress_bar('street scenes', len(settings.scenes())) as advance:
        written = write_streets(args.out, settings, workers=args.workers, on_scene=advance)
    print(f'{args.out} {"is complete" if written else "was already complete: nothing was done"}')
    call = shlex.join([*call_of('prepare'), str(args.out)])
    print(f'next, make its label images: {call}')
