"""The methods of local learning: what they cost, their pictures, and the page of the docs.

Example:
    python tools/methods.py --costs configs/infopro_deeplabv3_cityscapes.py --num-modules 4 8 \\
        --methods dgl man --json docs/methods.json
    python tools/methods.py --json docs/methods.json --pictures docs/pictures/methods \\
        --docs docs
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from mmseg_infopro.commands import check_outputs, command, progress_bar
from mmseg_infopro.config.methods import METHODS, find_method
from mmseg_infopro.config.read import read_config
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.report.baselines import check_counts
from mmseg_infopro.report.method_costs import Costs, add_costs, end_to_end_costs, read_costs
from mmseg_infopro.report.method_docs import PAGES, method_page, methods_page
from mmseg_infopro.report.method_pictures import draw_method


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='some of them; all by default')
    parser.add_argument('--costs', metavar='CONFIG', help='measure peak and FLOPs on this config')
    parser.add_argument('--num-modules', nargs='+', type=int, default=[4, 8], metavar='K')
    parser.add_argument('--json', type=Path, required=True, help='where the costs are kept')
    parser.add_argument('--pictures', type=Path, help='draw a picture of each into this folder')
    parser.add_argument('--docs', type=Path, help='write the pages into this folder')
    return parser.parse_args()


def measure(args: argparse.Namespace, names: list[str]) -> None:
    """Measure some methods, and keep what was measured of the others."""
    cfg = read_config(args.costs)
    check_counts(cfg, args.num_modules)
    costs = read_costs(args.json) if args.json.is_file() else None
    if costs is None or costs['config'] != args.costs:
        costs = end_to_end_costs(cfg, args.costs)
    with progress_bar('methods', len(names) * len(args.num_modules)) as advance:
        for name in names:
            add_costs(costs, cfg, [name], args.num_modules, advance)
            write_whole(args.json, json.dumps(costs, indent=1) + '\n')


def write_pages(folder: Path, pictures: Path, costs: Costs) -> None:
    """Write the page of all methods, and in a folder beside it one of each."""
    own = folder / PAGES
    own.mkdir(parents=True, exist_ok=True)
    write_whole(folder / 'methods.md', methods_page(costs))
    for name in METHODS:
        write_whole(own / f'{name}.md', method_page(name, costs, os.path.relpath(pictures, own)))


@command
def main() -> None:
    args = parse_args()
    check_outputs(args.json)
    if args.docs and not args.pictures:
        raise ValueError('--docs needs --pictures, the folder that the pages link to')
    for option, folder in (('--docs', args.docs), ('--pictures', args.pictures)):
        if folder and folder.exists() and not folder.is_dir():
            raise ValueError(f'{option} must be a folder, and {folder} is a file')
    if args.docs and not args.costs:
        read_costs(args.json)  # raises if nothing was measured
    names = args.methods or list(METHODS)
    for name in names:
        find_method(name)
    if args.costs:
        measure(args, [name for name in names if name != 'e2e'])
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
        for name in names:
            draw_method(name, METHODS[name], args.pictures / f'{name}.png')
    if args.docs:
        write_pages(args.docs, args.pictures, read_costs(args.json))


if __name__ == '__main__':
    sys.exit(main())
