"""Simulate training on several devices: local modules on devices of their own, and what else is.

Each number of devices trains on as many images a step in every way: the config's batch times the
number of devices. Data parallelism has a batch on each device, and averages gradients in a ring. In
the local pipeline, cut so that all stages take about as long, the batches follow each other, and
their gradients add up. GPipe and 1F1B, pipelines of end-to-end training, split all images into
micro-batches. All figures are simulated, from the FLOPs and bytes of a step on fake tensors and the
speeds of devices and links.

Example:
    python tools/pipeline.py configs/infopro_deeplabv3_cityscapes.py --devices 2 4 8 16 \\
        --link nvlink pcie 25gbe --device a100 --picture scale.png
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from mmseg_infopro.commands import (
    add_amp_argument,
    add_step_arguments,
    check_outputs,
    command,
    config_parser,
    progress_bar,
)
from mmseg_infopro.config.arguments import add_method_argument, add_recipe_argument, apply_method
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.places import named
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.speeds import device_at_hand
from mmseg_infopro.config.step import step_shape
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.planning.device import DEVICES, find_device
from mmseg_infopro.planning.simulation.links import LINKS, find_link
from mmseg_infopro.report.pipeline.picture import draw_scale
from mmseg_infopro.report.pipeline.scale import Scale
from mmseg_infopro.report.pipeline.tables import as_json, partition_lines, scale_tables

HERE = 'here'


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__)
    add_step_arguments(parser)
    add_amp_argument(parser)
    add_method_argument(parser)
    add_recipe_argument(parser)
    add = parser.add_argument
    add('--devices', nargs='+', type=int, default=[2, 4, 8, 16], metavar='N', help='how many')
    add('--link', nargs='+', default=['nvlink'], metavar='NAME', help=f'one of {", ".join(LINKS)}')
    devices = f'one of {", ".join(DEVICES)}, or {HERE}: that of this machine, timed'
    add('--device', default='a100', metavar='NAME', help=devices)
    add('--in-flight', type=int, default=2, help='batches between two stages (default: 2)')
    add('--micro-batch', type=int, default=1, help='images of GPipe and 1F1B (default: 1)')
    add('--picture', type=Path, help='draw throughput and memory against devices')
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    if min(args.devices) < 2:
        raise ValueError(f'--devices must be at least 2, got {min(args.devices)}')
    for option in ('in_flight', 'micro_batch'):
        value = getattr(args, option)
        if value < 1:
            raise ValueError(f'--{option.replace("_", "-")} must be at least 1, got {value}')
    check_outputs(args.json, args.picture, inputs=[args.config])


@command
def main() -> None:
    args = parse_args()
    check_arguments(args)
    with named('--link'):
        links = [find_link(name) for name in dict.fromkeys(args.link)]
    if args.device != HERE:
        with named('--device'):
            find_device(args.device)
    base = read_config(args.config, args.cfg_options)
    cfg = apply_method(base, args.method, args.recipe, args.heads)
    override_step(cfg, args.batch_size, tuple(args.crop) if args.crop else None, args.amp)
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


if __name__ == '__main__':
    sys.exit(main())
