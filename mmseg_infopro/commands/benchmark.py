"""Compare ways to train one config: end-to-end, with gradient checkpointing, and locally."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict

from mmengine.config import Config
from rich.console import Console

from infopro.words import RECOMPUTE

from ..config.arguments import apply_method
from ..config.edit import override_step
from ..config.places import named
from ..config.read import read_config
from ..config.step import dry_config_step, step_shape
from ..files.whole import write_whole
from ..report.pipeline.measuring import check_pipelines
from ..report.process_rows import process_rows
from ..report.rows import benchmark_rows
from ..report.tables import Report, draw_report, remarks, report_tables
from ..report.timing import describe_machine, time_trials, why_not_timed
from ..report.ways import methods_to_compare, plan_trials, without_compile
from .ending import command
from .outputs import check_outputs
from .progress import progress_bar


def check_arguments(args: Namespace) -> None:
    for option in ('steps', 'rounds'):
        if getattr(args, option) < 1:
            raise ValueError(f'--{option} must be at least 1, got {getattr(args, option)}')
    if args.processes and min(args.processes) < 2:
        raise ValueError(f'--processes must be at least 2, got {min(args.processes)}')
    for option in ('amp', 'heads') if args.processes else ():
        words = getattr(args, option) or ()
        if len(words) > 1:
            raise ValueError(f'--processes takes one word of --{option}, got {" ".join(words)}')
    check_outputs(args.json, args.picture, inputs=[args.config])


def words_to_compare(args: Namespace) -> list[str]:
    if args.recompute:
        return list(args.recompute)
    if args.levers:
        return ['auto'] if args.cap else []
    return [word for word in RECOMPUTE if word != 'auto' or args.cap]


def benchmark(cfg: Config, args: Namespace) -> Report:
    heads = args.heads or (None,)
    several = config_of_processes(cfg, args)
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
    found = []
    with progress_bar('processes', len(args.processes)) as advance:
        for count in args.processes:
            found.append(process_rows(several, count, args.rounds, args.steps, not args.no_time))
            advance()
    shape = step_shape(cfg)
    rows = benchmark_rows(trials, steps, times)
    how = args.rounds, args.steps, describe_machine()
    return Report(args.config, shape.batch_size, shape.crop, *how, rows, found)


def config_of_processes(cfg: Config, args: Namespace) -> Config:
    """Return the config that --processes trains, which it can cut."""
    cfg = without_compile(cfg)
    override_step(cfg, amp=args.amp[0])
    cfg = apply_method(cfg, None, heads=(args.heads or [None])[0])
    if args.processes:
        with named('--processes'):
            check_pipelines(cfg, args.processes)
    return cfg


@command
def main(args: Namespace) -> None:
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
