"""Train end to end and in two local modules at the same time, and show both side by side."""

from __future__ import annotations

import signal
from argparse import Namespace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..config.read import config_file, read_config
from ..datasets.cityscapes_tree import inspect_tree, prepare_tree
from ..datasets.streets import StreetSettings, write_streets
from ..files.outputs import check_folder
from ..files.whole import write_whole
from ..report.figures import save_figure
from ..report.run_files import read_run
from ..report.run_report import run_report
from ..report.way import parse_way
from ..study.bed import Bed, Run, plan_runs
from ..study.running import OtherOptionsError, Study, run_all
from ..study.side_by_side import comparison_table, majority_line, predictions_figure
from .ending import command
from .progress import progress_bar

CONFIG = 'mmseg_infopro::streets/e2e_deeplabv3_r18.py'
WAYS = {'e2e': 'end to end', 'infopro:2': 'local modules'}
PARTITIONS = {'2': ['layer2.0']}


def make_data(root: Path, settings: StreetSettings) -> None:
    with progress_bar('street scenes', len(settings.scenes())) as advance:
        write_streets(root, settings, workers=2, on_scene=advance)
    report = inspect_tree(root)
    with progress_bar('label images ', len(report.frames)) as advance:
        prepare_tree(report.frames, workers=2, on_frame=advance)


def demo_folder(args: Namespace) -> Path:
    """Return where the demo's runs lie: a new folder, if it shall begin afresh."""
    folder: Path = args.work_dir
    if args.fresh and folder.exists():
        names = (folder.with_name(f'{folder.name}_{number}') for number in count(2))
        folder = next(path for path in names if not path.exists())
    return folder


def demo_study(args: Namespace) -> Study:
    folder = demo_folder(args)
    options: dict[str, Any] = {
        f'{loader}.data_root': args.data_root.resolve()
        for loader in (
            'train_dataloader.dataset.dataset',
            'val_dataloader.dataset',
            'test_dataloader.dataset',
        )
    }
    if args.iters is not None:
        if args.iters < 1:
            raise ValueError(f'--iters must be at least 1, got {args.iters}')
        options |= {'train_cfg.max_iters': args.iters, 'param_scheduler.0.end': args.iters}
    bed = Bed(folder, str(config_file(CONFIG)), PARTITIONS, options)
    return Study(bed, folder.resolve().parent, pictures=3)


def are_finished(study: Study, runs: list[Run]) -> bool:
    """Whether nothing is left to train.

    Raises:
        ValueError: The folder holds runs of other options.
    """
    try:
        return all([study.is_finished(run) for run in runs])
    except OtherOptionsError as error:
        raise ValueError(
            f'{study.bed.folder} holds a demo with other options: train anew beside it with '
            '--fresh, or name another --work-dir'
        ) from error


def train_both(study: Study, runs: list[Run], console: Console) -> None:
    """Train at the same time, and show how far both are.

    Raises:
        ValueError: A training failed.
    """
    columns = TextColumn('{task.description}'), BarColumn(), TaskProgressColumn()
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        tasks = {run: progress.add_task(f'{WAYS[run.way.word]:13}', total=1.0) for run in runs}

        def advance(run: Run, share: float) -> None:
            progress.update(tasks[run], completed=share)

        failed = run_all(study, runs, len(runs), progress.console.print, advance)
    if failed:
        outputs = ', '.join(str(study.work_dir(run) / 'output.txt') for run in failed)
        raise ValueError(f'a training failed; what it said is in {outputs}')


@command
def main(args: Namespace) -> None:
    console = Console(highlight=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: runs stop and save
    torch.set_num_threads(2)
    settings = StreetSettings(args.train, args.val, *args.size)
    study = demo_study(args)
    runs = plan_runs(study.bed, [parse_way(word) for word in WAYS], [0])
    check_folder('--data-root', args.data_root)
    check_folder('--work-dir', args.work_dir)
    init_default_scope('mmseg')
    finished = are_finished(study, runs)
    make_data(args.data_root, settings)
    if finished:
        console.print(f'{study.bed.folder} holds finished runs: not trained again (--fresh does)')
    else:
        study.bed.folder.mkdir(parents=True, exist_ok=True)
        train_both(study, runs, console)
    files = {WAYS[run.way.word]: read_run(study.work_dir(run)) for run in runs}
    with progress_bar('dry steps', 2 * len(files) + 2) as advance:
        for run_files in files.values():
            write_whole(run_files.work_dir / 'report.html', run_report(run_files, advance))
        records = {WAYS[run.way.word]: study.record_file(run) for run in runs}
        table = comparison_table(records, advance)
    console.print(table)
    console.print(majority_line(args.data_root, read_config(CONFIG)), soft_wrap=True)
    picture = study.bed.folder / 'demo.png'
    save_figure(predictions_figure(files), picture, dpi=110)
    console.print(f'picture: {picture}', soft_wrap=True)
    for name, run_files in files.items():
        console.print(f'report, {name}: {run_files.work_dir / "report.html"}', soft_wrap=True)
