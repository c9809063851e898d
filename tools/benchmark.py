"""Compare ways to train one config: end-to-end, with gradient checkpointing, and locally.

Each row is a number of local modules, what they recompute, and a precision. It shows the predicted
peak of a training step (a dry step on fake tensors), its FLOPs, and how long a real step takes on
this machine: on the GPU, with the memory that torch measured, or else on the CPU. The real steps
train random weights on random data. They are taken by turns, so that a machine that is slow for a
while is slow for all of them.

Example:
    python tools/benchmark.py configs/infopro_deeplabv3_cityscapes.py --num-modules 1 2 4 \\
        --recompute none cheap auto --cap 8GiB 5GiB --amp none bfloat16 \\
        --json benchmark.json --picture benchmark.png
    python tools/benchmark.py configs/camvid/infopro_deeplabv3_r18.py --num-modules 2 --levers
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from mmseg_infopro.commands import (
    PRECISIONS,
    add_step_arguments,
    check_outputs,
    command,
    config_parser,
    progress_bar,
)
from mmseg_infopro.config.arguments import add_method_argument, add_recipe_argument, apply_method
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import dry_config_step, step_shape
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.local.setting_types import RECOMPUTE
from mmseg_infopro.report.rows import benchmark_rows
from mmseg_infopro.report.tables import Report, draw_report, remarks, report_tables
from mmseg_infopro.report.timing import describe_machine, time_trials, why_not_timed
from mmseg_infopro.report.ways import methods_to_compare, plan_trials


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__)
    add_step_arguments(parser)
    add_method_argument(parser, compares=True)
    add_recipe_argument(parser)
    add = parser.add_argument
    add(
        '--num-modules',
        nargs='+',
        type=int,
        metavar='K',
        help="numbers of local modules to compare; without it, the config's own partition",
    )
    add(
        '--recompute',
        nargs='+',
        choices=RECOMPUTE,
        help='what local modules compute a second time; if not given, all but auto without --cap',
    )
    add(
        '--cap',
        nargs='+',
        default=(),
        metavar='SIZE',
        help="what auto recomputes for, one row each: 5GiB of tensors, or 40%% of E2E's",
    )
    add(
        '--amp',
        nargs='+',
        choices=PRECISIONS,
        default=(None,),
        help="mixed precisions to compare, or none; without it, the config's own",
    )
    add(
        '--levers',
        action='store_true',
        help='a row for each lever, on local modules without any, and for each recipe; without '
        '--recompute in place of the rows that recompute',
    )
    add('--rounds', type=int, default=4, help='turns of each row (default: 4)')
    add('--steps', type=int, default=3, help='timed steps a turn, after a warm-up (default: 3)')
    add('--no-time', action='store_true', help='take no real steps: peak and FLOPs only')
    add('--picture', type=Path, help='draw memory against time, or against FLOPs (--no-time)')
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    for option in ('steps', 'rounds'):
        if getattr(args, option) < 1:
            raise ValueError(f'--{option} must be at least 1, got {getattr(args, option)}')
    check_outputs(args.json, args.picture, inputs=[args.config])


def words_to_compare(args: argparse.Namespace) -> list[str]:
    if args.recompute:
        return list(args.recompute)
    if args.levers:
        return ['auto'] if args.cap else []
    return [word for word in RECOMPUTE if word != 'auto' or args.cap]


def benchmark(cfg: Config, args: argparse.Namespace) -> Report:
    heads = args.heads or (None,)
    methods = methods_to_compare(
        cfg, args.num_modules, words_to_compare(args), args.amp, args.cap, heads, args.levers
    )
    with progress_bar('plans', len(methods)) as advance:
        trials = plan_trials(cfg, methods, advance)
    steps, times = [], None
    with progress_bar('dry steps', len(trials)) as advance:
        for trial in trials:
            steps.append(None if trial.no_dry_step else dry_config_step(trial.cfg))
            advance()
    if not args.no_time:
        num_turns = args.rounds * sum(why_not_timed(trial) is None for trial in trials)
        with progress_bar('real steps', num_turns) as advance:
            times = time_trials(trials, args.rounds, args.steps, advance)
    shape = step_shape(cfg)
    rows = benchmark_rows(trials, steps, times)
    machine = describe_machine()
    return Report(args.config, shape.batch_size, shape.crop, args.rounds, args.steps, machine, rows)


@command
def main() -> None:
    args = parse_args()
    check_arguments(args)
    cfg = apply_method(read_config(args.config, args.cfg_options), args.method, args.recipe)
    override_step(cfg, args.batch_size, tuple(args.crop) if args.crop else None)
    console = Console()
    if cfg.get('compile') or cfg.model.get('local', {}).get('compile'):
        console.print('torch.compile, which the config asks for, is left out: all rows run eagerly')
    report = benchmark(cfg, args)
    for table in report_tables(report):
        console.print(table)
    for line in remarks(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if args.json:
        write_whole(args.json, json.dumps(asdict(report), indent=2) + '\n')
    if args.picture:
        draw_report(report, args.picture)


if __name__ == '__main__':
    sys.exit(main())
