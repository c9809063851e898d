"""Simulate training on several devices: local modules on devices of their own, and what else is."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from infopro.words import HERE

from ..config.arguments import apply_method
from ..config.edit import override_step
from ..config.places import named
from ..config.read import read_config
from ..config.speeds import device_at_hand
from ..config.step import step_shape
from ..files.whole import write_whole
from ..planning.device import find_device
from ..planning.simulation.links import Link, find_link
from ..report.pipeline.measuring import as_figures, check_pipelines, compare_ways
from ..report.pipeline.picture import draw_scale
from ..report.pipeline.race_table import race_lines, race_table
from ..report.pipeline.scale import Scale
from ..report.pipeline.tables import as_json, partition_lines, scale_tables
from ..report.pipeline.trace import draw_trace
from ..report.pipeline.turns import PIPELINE
from .ending import command
from .outputs import check_outputs
from .progress import progress_bar


def check_arguments(args: Namespace) -> None:
    if min(args.devices) < 2:
        raise ValueError(f'--devices must be at least 2, got {min(args.devices)}')
    if args.measure is not None and args.measure < 2:
        raise ValueError(f'--measure must be at least 2 local modules, got {args.measure}')
    for option in ('in_flight', 'micro_batch', 'rounds', 'steps'):
        value = getattr(args, option)
        if value < 1:
            raise ValueError(f'--{option.replace("_", "-")} must be at least 1, got {value}')
    check_outputs(args.json, args.picture, inputs=[args.config])


def measure(args: Namespace, cfg: Config) -> None:
    """Let ways to use some processes race, and show what each did."""
    with named('--measure'):
        check_pipelines(cfg, [args.measure])
    found = compare_ways(cfg, args.measure, args.in_flight, args.rounds, args.steps)
    console = Console()
    console.print(race_table(found))
    shape = step_shape(found.local)
    height, width = shape.crop
    size = f'a batch: {shape.batch_size} images of {height} x {width}; {args.rounds} rounds of '
    for line in [
        f'{size}{args.steps} steps on {found.machine["name"]}, torch {found.machine["torch"]}',
        *race_lines(found),
    ]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if args.json:
        write_whole(args.json, json.dumps(as_figures(found), indent=2) + '\n')
    if args.picture:
        draw_trace(found.turns[PIPELINE][-1], args.picture, Path(args.config).stem)


def simulate(args: Namespace, cfg: Config, links: Sequence[Link]) -> None:
    """Show what several devices would reach."""
    if step_shape(cfg).batch_size % args.micro_batch:
        raise ValueError(
            f'--micro-batch must divide the batch of {step_shape(cfg).batch_size} images, '
            f'got {args.micro_batch}'
        )
    amp = step_shape(cfg).autocast
    device = device_at_hand(amp) if args.device == HERE else find_device(args.device)
    counts = sorted(set(args.devices))
    rows = []
    with progress_bar('devices', len(counts)) as advance:
        scale = Scale(cfg, device, args.in_flight, args.micro_batch)
        for count in counts:
            with named('--devices'):
                scale.check(count)
        for count in counts:
            rows += [row for link in links for row in scale.rows(count, link)]
            advance()
    console = Console()
    for table in scale_tables(rows):
        console.print(table)
    speeds = f'{device.flops_per_second:.3g} FLOP/s, {device.bytes_per_second:.3g} B/s'
    for line in [
        f'simulated on {device.name}: {speeds}, {device.source}',
        *(f'{link.name}: {link.bytes_per_second / 1e9:.4g} GB/s, {link.source}' for link in links),
        *partition_lines(rows),
    ]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if args.json:
        write_whole(args.json, json.dumps([as_json(row) for row in rows], indent=2) + '\n')
    if args.picture:
        note = f'{Path(args.config).stem}: simulated, with speeds of {device.name}'
        draw_scale(rows, args.picture, note)


@command
def main(args: Namespace) -> None:
    check_arguments(args)
    with named('--link'):
        links = [find_link(name) for name in dict.fromkeys(args.link)]
    if args.device != HERE:
        with named('--device'):
            find_device(args.device)
    base = read_config(args.config, args.cfg_options)
    cfg = apply_method(base, args.method, args.recipe, args.heads)
    override_step(cfg, args.batch_size, tuple(args.crop) if args.crop else None, args.amp)
    if args.measure is not None:
        measure(args, cfg)
    else:
        simulate(args, cfg, links)
