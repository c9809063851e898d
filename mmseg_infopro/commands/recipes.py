"""What recipes cost, and what local modules do, measured on one network."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from infopro.options import COSTS

from ..config.read import read_config
from ..config.recipe_costs import FILE, help_table, recipe_costs
from ..files.outputs import check_output
from ..files.whole import write_whole
from ..report.recipe_costs import measure_recipes, num_rows
from ..report.recipe_docs import recipes_page
from .ending import command
from .progress import progress_bar


@command
def main(args: Namespace) -> None:
    check_output('--docs', args.docs, ('.md',))
    if args.measure:
        cfg = read_config(args.measure)
        with progress_bar('rows', num_rows(args.num_modules)) as advance:
            name = Path(args.measure).stem
            costs = measure_recipes(cfg, name, args.num_modules, advance)
        write_whole(FILE, json.dumps(costs, indent=1) + '\n')
        recipe_costs.cache_clear()
    write_whole(COSTS, help_table() + '\n')
    if args.docs:
        write_whole(args.docs, recipes_page())
    Console().print(help_table(), highlight=False, soft_wrap=True)
