"""What recipes cost, and what local modules do: measured on one network, for the help and the docs.

Example:
    python tools/recipes.py --docs docs/recipes.md
    python tools/recipes.py --measure mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from mmseg_infopro.commands import command, progress_bar
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.recipe_costs import FILE, help_table, recipe_costs
from mmseg_infopro.files.outputs import check_output
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.report.recipe_costs import measure_recipes, num_rows
from mmseg_infopro.report.recipe_docs import recipes_page


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--measure', metavar='CONFIG', help='measure anew, on this config')
    parser.add_argument('--num-modules', nargs='+', type=int, default=[2, 4, 8], metavar='K')
    parser.add_argument('--docs', type=Path, help='write the page of the docs')
    return parser.parse_args()


@command
def main() -> None:
    args = parse_args()
    check_output('--docs', args.docs, ('.md',))
    if args.measure:
        cfg = read_config(args.measure)
        with progress_bar('rows', num_rows(args.num_modules)) as advance:
            name = Path(args.measure).stem
            costs = measure_recipes(cfg, name, args.num_modules, advance)
        write_whole(FILE, json.dumps(costs, indent=1) + '\n')
        recipe_costs.cache_clear()
    if args.docs:
        write_whole(args.docs, recipes_page())
    Console().print(help_table(), highlight=False, soft_wrap=True)


if __name__ == '__main__':
    sys.exit(main())
