"""Predict the peak memory of a training step, end-to-end beside local modules, without a GPU.

The step runs on fake tensors: nothing is allocated, and it takes seconds. The bytes are those of
tensors; a device adds its context, workspaces and fragmentation.

Example:
    python tools/memory.py configs/infopro_deeplabv3_cityscapes.py --num-modules 1 2 4
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmseg_infopro.commands import command
from mmseg_infopro.config_options import read_config
from mmseg_infopro.localizing import localize
from mmseg_infopro.partition import config_peak, resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config file, or mmseg::NAME for one of mmseg')
    parser.add_argument(
        '--num-modules',
        nargs='+',
        type=int,
        help="numbers of modules to compare; without it, end-to-end and the config's own",
    )
    parser.add_argument('--json', type=Path, help='write the figures to this file as well')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings as key=value')
    return parser.parse_args()


def measure(cfg: Config) -> dict[str, Any]:
    cfg = resolve(cfg)
    boundaries = list(cfg.model.local.boundaries)
    peak = config_peak(cfg)
    return dict(
        num_modules=len(boundaries) + 1,
        boundaries=boundaries,
        activations=peak.activations,
        **asdict(peak),
    )


def show(rows: list[dict[str, Any]], baseline: int) -> None:
    unit, size = ('GB', 1e9) if baseline > 1e9 else ('MB', 1e6)
    table = Table(title=f'Peak of a training step in {unit}, predicted on fake tensors')
    for column in ('K', 'peak', 'share of E2E', 'parameters', 'gradients', 'optimizer', 'rest'):
        table.add_column(column, justify='right')
    for row in rows:
        parts = ('total', 'parameters', 'gradients', 'optimizer_state', 'activations')
        peak, *others = (f'{row[part] / size:.2f}' for part in parts)
        share = f'{row["total"] / baseline:.1%}'
        table.add_row(str(row['num_modules']), peak, share, *others)
    console = Console()
    console.print(table)
    for row in rows[1:]:
        console.print(f'K={row["num_modules"]}: boundaries={row["boundaries"]}', highlight=False)


@command
def main() -> None:
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    if args.num_modules is None and 'local' not in cfg.model:
        raise ValueError(f'{args.config} has no model.local: say --num-modules 2 4, for example')
    numbers = dict.fromkeys([1, *(args.num_modules or ())])
    configs = [localize(cfg, num_modules) for num_modules in numbers]
    if args.num_modules is None:
        configs.append(cfg)
    rows = [measure(trial) for trial in track(configs, 'dry steps', transient=True)]
    show(rows, baseline=rows[0]['total'])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
    sys.exit(main())
