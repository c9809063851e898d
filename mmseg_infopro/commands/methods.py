"""The methods of local learning: what they cost, their pictures, and the page of the docs."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path

from ..config.methods import METHODS, find_method
from ..config.read import read_config
from ..files.whole import write_whole
from ..report.baselines import check_counts
from ..report.method_costs import Costs, add_costs, end_to_end_costs, read_costs
from ..report.method_docs import PAGES, method_page, methods_page
from ..report.method_pictures import draw_method
from .ending import command
from .outputs import check_outputs
from .progress import progress_bar


def measure(args: Namespace, names: list[str]) -> None:
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
def main(args: Namespace) -> None:
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
