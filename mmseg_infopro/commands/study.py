"""Train a grid of ways, numbers of local modules and seeds on one bed, and say what differs."""

from __future__ import annotations

import signal
from argparse import Namespace
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..config.check_config import check_training_config
from ..config.read import read_config
from ..config.resolve import resolve
from ..datasets import check_data, check_labels
from ..files.outputs import check_folder
from ..files.whole import write_whole
from ..report.figures import save_figure
from ..report.way import Way, parse_way
from ..study.bed import FILE, PLAN, Bed, Run, plan_runs, read_bed
from ..study.cap_plan import CapPlan, read_plan
from ..study.cap_report import cap_figure, cap_rows, cap_table
from ..study.figures import class_figure, depth_figure, memory_figure
from ..study.running import CAPS, Study, run_all
from ..study.summary import read_records, summarize
from ..study.tables import comma_separated, markdown
from ..study.timing import core_hours
from .ending import command
from .progress import progress_bar


def check_arguments(args: Namespace) -> None:
    if min(args.jobs, args.threads) < 1:
        raise ValueError(
            f'--jobs and --threads must be at least 1, got {args.jobs}, {args.threads}'
        )
    if min(args.seeds) < 0:
        raise ValueError(f'--seeds must be at least 0, got {min(args.seeds)}')
    if args.hours is not None and not args.hours > 0:
        raise ValueError(f'--hours must be above 0, got {args.hours}')
    check_folder('--work-dirs', args.work_dirs)


def check_runs(cfg: Config, bed: Bed, ways: list[Way], is_capped: bool) -> None:
    """Check within moments what each run would find out for itself."""
    for way in ways:
        way.check(cfg)
        if not is_capped:
            check_training_config(resolve(way.config(cfg, bed.partitions)))
    check_data(cfg, ('train', 'val'))
    check_labels(cfg)


def train(args: Namespace, console: Console) -> int:
    check_arguments(args)
    bed = read_bed(args.bed)
    ways = [parse_way(word) for word in args.ways]
    study = Study(bed, args.work_dirs.resolve(), args.cfg_options or [], args.threads)
    cfg = bed_config(study)
    torch.set_num_threads(args.threads)
    runs = [] if args.cap else plan_runs(bed, ways, args.seeds)
    check_runs(cfg, bed, ways, bool(args.cap))
    if args.cap:
        plan = plan_caps(study, cfg, ways, args.cap, console)
        runs = plan.runs(ways, args.cap, args.seeds)
    left = [run for run in runs if not study.is_finished(run)]
    to_time = cfg if args.plan or args.hours is not None else None
    hours = plan.hours(left) * args.threads if args.cap else core_hours(study, left, to_time)
    known = 'no run to tell from yet' if hours is None else f'about {hours:.1f} core-hours'
    number = '1 run' if len(runs) == 1 else f'{len(runs)} runs'
    console.print(f'{number}, {len(runs) - len(left)} finished; {known}', highlight=False)
    if args.hours is not None and hours is not None and hours > args.hours:
        raise ValueError(f'the grid takes about {hours:.1f} core-hours, more than {args.hours}')
    if args.plan:
        for run in runs:
            console.print(f'  {run.name}{"" if run in left else " (finished)"}', highlight=False)
        return 0
    columns = TextColumn('{task.description}'), BarColumn(), TaskProgressColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task('study', total=len(left))
        shares: dict[Run, float] = {}

        def advance(run: Run, share: float) -> None:
            shares[run] = share
            progress.update(task, completed=sum(shares.values()))

        failed = run_all(study, runs, args.jobs, progress.console.print, advance)
    return 1 if failed else 0


def bed_config(study: Study) -> Config:
    """Return a bed's config with all options."""
    cfg = read_config(study.bed.config, study.all_options())
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    return cfg


def plan_caps(
    study: Study, cfg: Config, ways: list[Way], caps: list[str], console: Console
) -> CapPlan:
    """Find what every way trains under every cap, and say it."""
    for what, given in (('--cap', caps), ('--ways', [way.word for way in ways])):
        if len(set(given)) < len(given):
            raise ValueError(f'{what} names something twice: {" ".join(given)}')
    configs = study.work_dirs / study.bed.name / CAPS
    plan = CapPlan(cfg, study.bed.folder / CAPS, configs)
    with progress_bar('steps under caps', len(ways) * len(caps)) as advance:
        plan.make(ways, caps, advance)
    for cap in caps:
        for way in ways:
            line = f'{cap} {way.word}: {plan.entry(way, cap).describe()}'
            console.print(line, highlight=False, soft_wrap=True)
    busiest = max((entry.load or 0 for entry in plan.entries), default=0)
    if busiest > study.threads + 1:
        console.print(
            f'steps were timed while {busiest:.1f} processes wanted a core, by turns: for quiet '
            f'figures, remove {plan.file} and plan again with nothing beside',
            highlight=False,
            soft_wrap=True,
        )
    return plan


def report(args: Namespace, console: Console) -> None:
    if (args.bed / CAPS / PLAN).is_file():
        report_caps(args.bed / CAPS, args.mixed, console)
        if not any(file.name not in (FILE, PLAN) for file in args.bed.glob('*.json')):
            return
    records = read_records(args.bed, args.mixed)
    rows = summarize(records)
    table = markdown(rows)
    write_whole(args.bed / 'table.md', table)
    write_whole(args.bed / 'runs.csv', comma_separated(rows))
    classes = records[0]['counts']['classes']
    for name, figure in (
        ('memory', memory_figure(rows)),
        ('depth', depth_figure(rows)),
        ('classes', class_figure(rows, classes)),
    ):
        save_figure(figure, args.bed / f'{name}.png', dpi=110)
    console.print(table, highlight=False, soft_wrap=True)
    console.print(f'{args.bed}: table.md, runs.csv, memory.png, depth.png, classes.png')


def report_caps(folder: Path, mixed: bool, console: Console) -> None:
    rows = cap_rows(read_plan(folder), read_records(folder, mixed))
    table = cap_table(rows)
    write_whole(folder / 'table.md', table)
    save_figure(cap_figure(rows), folder / 'caps.png', dpi=110)
    console.print(table, highlight=False, soft_wrap=True)
    console.print(f'{folder}: table.md, caps.png', highlight=False)


@command
def main(args: Namespace) -> int:
    console = Console()
    if args.report:
        report(args, console)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: runs stop and save
    try:
        return train(args, console)
    except KeyboardInterrupt:
        console.print('stopped: the same command goes on where the runs are')
        return 130
