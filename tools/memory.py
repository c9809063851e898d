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
from mmseg_infopro.partition import config_peak, resolve, set_partition


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config file with model.local')
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
    if 'local' not in cfg.model:
        raise ValueError(f'{args.config} has no model.local; give the config of a local model')
    wishes: list[dict[str, Any]] = [dict(num_modules=k) for k in args.num_modules or ()]
    wishes = [dict(num_modules=1), *(w for w in wishes if w['num_modules'] != 1)]
    configs = [Config(cfg.to_dict()) for _ in wishes]
    for trial, wish in zip(configs, wishes, strict=True):
        set_partition(trial, **wish)
    if args.num_modules is None:
        configs.append(cfg)
    rows = [measure(trial) for trial in track(configs, 'dry steps', transient=True)]
    show(rows, baseline=rows[0]['total'])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
    sys.exit(main())
