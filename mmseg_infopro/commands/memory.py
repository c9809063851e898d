"""Show the peak memory of a training step: end-to-end, with gradient checkpointing, and local."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from ..config.answers import what_lowers_it
from ..config.arguments import apply_method
from ..config.edit import override_step
from ..config.explain import describe_peak
from ..config.read import read_config
from ..config.step import dry_config_steps
from ..files.whole import write_whole
from ..measure.peaks import PROCESS, DryStep
from ..measure.sizes import format_bytes, table_unit
from ..report.baselines import alternatives
from ..report.timeline import draw_timelines
from ..report.timing import measured_bytes
from .ending import command
from .outputs import check_outputs
from .progress import progress_bar


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


def answer_of_processes(steps: dict[str, DryStep]) -> None:
    """Say, of each pipeline, which of its processes needs most: all must have that."""
    found: dict[str, list[DryStep]] = {}
    for name, step in steps.items():
        if step.kind.startswith(PROCESS):
            found.setdefault(name.removesuffix(f' {step.kind}'), []).append(step)
    for name, processes in found.items():
        fullest = max(processes, key=lambda step: step.peak.total)
        text = f'{format_bytes(fullest.peak.total)} a process: {describe_peak(fullest)}'
        Console().print(f'{name}: {text}', highlight=False, soft_wrap=True)


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
def main(args: Namespace) -> None:
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
    answer_of_processes(steps)
    if not args.brief:
        advise(trials, steps)
    if args.json:
        write_whole(args.json, json.dumps(rows, indent=2) + '\n')
    if args.picture:
        draw_timelines(steps, args.picture, Path(args.config).stem)
