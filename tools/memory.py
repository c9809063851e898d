"""Show the peak memory of a training step: end-to-end, with gradient checkpointing, and local.

The step runs on fake tensors: nothing is allocated, no GPU is needed, and it takes seconds. The
bytes are those of tensors; a device adds its context, workspaces and fragmentation. With --device
cuda the steps run for real as well, and what torch measured stands beside the prediction.

Example:
    python tools/memory.py configs/infopro_deeplabv3_cityscapes.py --num-modules 2 4 \\
        --picture memory.png
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmseg_infopro.commands import (
    add_amp_argument,
    add_step_arguments,
    check_outputs,
    command,
    config_parser,
    progress_bar,
)
from mmseg_infopro.config.answers import what_lowers_it
from mmseg_infopro.config.arguments import add_method_argument, add_recipe_argument, apply_method
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import dry_config_steps
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.measure.peaks import DryStep
from mmseg_infopro.measure.sizes import table_unit
from mmseg_infopro.report.baselines import alternatives
from mmseg_infopro.report.timeline import draw_timelines
from mmseg_infopro.report.timing import measured_bytes


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__)
    parser.add_argument(
        '--num-modules',
        nargs='+',
        type=int,
        metavar='K',
        help="numbers of local modules to compare; without it, the config's own partition",
    )
    add_step_arguments(parser)
    add_amp_argument(parser)
    add_method_argument(parser)
    add_recipe_argument(parser)
    parser.add_argument('--device', choices=['fake', 'cuda'], default='fake', help='to step on')
    parser.add_argument('--brief', action='store_true', help='do not try what would lower the peak')
    parser.add_argument('--picture', type=Path, help='draw the bytes alive over the step')
    return parser.parse_args()


def as_row(name: str, cfg: Config, step: DryStep) -> dict[str, Any]:
    return dict(
        name=name,
        boundaries=list(cfg.model.get('local', {}).get('boundaries', [])),
        recompute=cfg.model.get('local', {}).get('recompute', 'none'),
        **asdict(step.peak),
        activations=step.peak.activations,
        module_peaks=list(step.module_peaks().values()),
        peaks_in_update=step.peaks_in_update,
        flops=step.flops,
        host_bytes=step.host_bytes,
    )


def advise(trials: dict[str, Config], steps: dict[str, DryStep]) -> None:
    """Say, of the local row with the smallest peak, where that is and what would lower it."""
    cut = {name: step for name, step in steps.items() if name in trials and step.module_peaks()}
    if cut:
        name = min(cut, key=lambda name: cut[name].peak.total)
        sentence = what_lowers_it(trials[name], cut[name])
        Console().print(f'{name}: {sentence}', highlight=False, soft_wrap=True)


def show(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    unit, size = table_unit(first['total'])
    table = Table(
        title=f'Peak of a training step in {unit}, predicted on fake tensors',
        caption='parts: what they hold at the moment of the peak',
    )
    headers = ['', 'peak', 'share', 'weights', 'grads', 'optim.', 'activ.', 'FLOPs']
    measured = [key for key in ('allocated', 'reserved') if key in first]
    for header in (*headers, *(f'CUDA {key}' for key in measured)):
        table.add_column(header, justify='right' if header else 'left', overflow='fold')
    for row in rows:
        parts = ('parameters', 'gradients', 'optimizer_state', 'activations')
        cells = [f'{row["total"] / size:.2f}', f'{row["total"] / first["total"]:.1%}']
        cells += [f'{row[part] / size:.2f}' for part in parts]
        cells += [f'{row["flops"] / first["flops"] - 1:+.1%}' if row is not first else '']
        unmeasured = 'OOM' if row.get('failure') else ''
        cells += [f'{row[key] / size:.2f}' if row[key] else unmeasured for key in measured]
        table.add_row(row['name'], *cells)
    console = Console()
    console.print(table)
    console.print(f'{first["name"]}: {first["flops"] / 1e12:.3g} TFLOP a step', highlight=False)
    for row in rows:
        if row['boundaries']:
            peaks = ', '.join(f'{peak / size:.2f}' for peak in row['module_peaks'])
            console.print(f'{row["name"]}: boundaries={row["boundaries"]}', highlight=False)
            update = ", the step's is in the optimizer" if row['peaks_in_update'] else ''
            console.print(f'    peaks of its modules: {peaks} {unit}{update}', highlight=False)
        if row['host_bytes']:
            moved = f'{row["host_bytes"] / size:.2f} {unit} go to the host and come back a step'
            console.print(f'{row["name"]}: {moved}', highlight=False)
        if not isinstance(row['recompute'], str):
            groups = ', '.join(f'{group["end"]} {group["saved"]}' for group in row['recompute'])
            console.print(f'    groups that recompute, and what they save: {groups}')


@command
def main() -> None:
    args = parse_args()
    check_outputs(args.json, args.picture, inputs=[args.config])
    cfg = apply_method(
        read_config(args.config, args.cfg_options), args.method, args.recipe, args.heads
    )
    if args.num_modules is None and 'local' not in cfg.model:
        raise ValueError(f'{args.config} has no model.local: say --num-modules 2 4, for example')
    override_step(cfg, args.batch_size, tuple(args.crop) if args.crop else None, args.amp)
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('--device cuda needs a GPU, and torch finds none on this machine')
    trials = {way.word: cfg for way, cfg in alternatives(cfg, args.num_modules).items()}
    rows: list[dict[str, Any]] = []
    steps = {}
    with progress_bar('steps', len(trials)) as advance:
        for name, trial in trials.items():
            kinds, before = dry_config_steps(trial), len(rows)
            for step in kinds:
                kind = f'{name} {step.kind}' if len(kinds) > 1 else name
                steps[kind] = step
                rows.append(as_row(kind, trial, step))
            if args.device == 'cuda':
                real = measured_bytes(trial)
                for key in ('allocated', 'reserved', 'failure'):
                    # A run begins with the first kind; the others are not stepped for real.
                    for row in rows[before:]:
                        row[key] = getattr(real, key) if row is rows[before] else None
            advance()
    show(rows)
    if not args.brief:
        advise(trials, steps)
    if args.json:
        write_whole(args.json, json.dumps(rows, indent=2) + '\n')
    if args.picture:
        draw_timelines(steps, args.picture, Path(args.config).stem)


if __name__ == '__main__':
    sys.exit(main())
