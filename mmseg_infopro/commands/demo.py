"""Generate street scenes, train on them in local modules, evaluate, and compare the memory."""

from __future__ import annotations

import io
import logging
from argparse import Namespace
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from rich.console import Console
from rich.table import Table

from ..config.edit import set_partition
from ..config.read import read_config
from ..config.resolve import resolve
from ..config.step import config_peak
from ..datasets.cityscapes_tree import inspect_tree, prepare_tree
from ..datasets.label_statistics import class_counts, constant_prediction_scores
from ..datasets.streets import StreetSettings, write_streets
from ..files.outputs import check_folder
from ..hooks import signals_noted
from ..hooks.pictures import comparison_figure, make_example
from ..measure.sizes import table_unit
from ..report.figures import save_figure
from ..run.console import ConsoleHandler
from ..run.resume_point import find_resume_checkpoint
from ..run.runner import InfoProRunner
from ..run.training import prepare_training
from ..run.work_dir import own_work_dir
from .ending import command
from .progress import progress_bar

CONFIG = 'mmseg_infopro::streets/infopro_deeplabv3_r18.py'
CITYSCAPES = 'mmseg_infopro::infopro_deeplabv3_cityscapes.py'
PICTURED = (0, 1, 5)


def make_data(root: Path, settings: StreetSettings) -> None:
    with progress_bar('street scenes', len(settings.scenes())) as advance:
        write_streets(root, settings, workers=2, on_scene=advance)
    report = inspect_tree(root)
    with progress_bar('label images ', len(report.frames)) as advance:
        prepare_tree(report.frames, workers=2, on_frame=advance)


def demo_config(args: Namespace) -> Config:
    work_dir = args.work_dir
    if args.fresh and any(work_dir.glob('*.pth')):
        names = (work_dir.with_name(f'{work_dir.name}_{number}') for number in count(2))
        work_dir = next(path for path in names if not path.exists())
    options: dict[str, Any] = {
        'work_dir': str(work_dir),
        'train_dataloader.dataset.dataset.data_root': str(args.data_root),
        'test_dataloader.dataset.data_root': str(args.data_root),
    }
    if args.iters is not None:
        if args.iters < 1:
            raise ValueError(f'--iters must be at least 1, got {args.iters}')
        options |= {'train_cfg.max_iters': args.iters, 'param_scheduler.0.end': args.iters}
    cfg = read_config(CONFIG, options)
    # Evaluated once, at the end.
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.train_cfg.pop('val_interval')
    cfg.custom_hooks.append(dict(type='ProgressHook'))
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build a Runner whose log goes to its file, and to the console only what is a warning."""
    runner = InfoProRunner.from_cfg(cfg)
    for handler in runner.logger.handlers:
        if isinstance(handler, ConsoleHandler):
            handler.setLevel(logging.WARNING)
    return runner


def trained_iterations(cfg: Config) -> list[int]:
    """Return those of the checkpoints in the work dir; more than are asked for are an error."""
    work_dir = Path(cfg.work_dir)
    iterations = [int(path.stem.split('_')[1]) for path in work_dir.glob('iter_*.pth')]
    max_iters = cfg.train_cfg.max_iters
    if iterations and max(iterations) > max_iters:
        raise ValueError(
            f'{work_dir} holds a run of {max(iterations)} iterations, more than the {max_iters} '
            'asked for: train anew beside it with --fresh, or name another --work-dir'
        )
    return iterations


def train_or_reuse(cfg: Config, console: Console) -> Runner:
    iterations = trained_iterations(cfg)
    runner = build_runner(prepare_training(cfg, resume=bool(iterations)))
    if cfg.train_cfg.max_iters in iterations:
        console.print(f'{cfg.work_dir} holds a finished run: not trained again (--fresh does)')
        runner.load_or_resume()
    else:
        boundaries = ', '.join(runner.model.boundaries)
        console.print(f'boundaries: {boundaries}; the full log is in {runner.log_dir}')
        with signals_noted():
            runner.train()
    return runner


def majority_scores(cfg: Config, root: Path) -> tuple[int, dict[str, float]]:
    num_classes = cfg.model.decode_head.num_classes
    train, val = (
        class_counts(
            (
                np.asarray(Image.open(path))
                for path in sorted((root / 'gtFine' / split).rglob('*_labelTrainIds.png'))
            ),
            num_classes,
        )
        for split in ('train', 'val')
    )
    majority = int(train.argmax())
    return majority, constant_prediction_scores(val, majority)


def peaks(cfg: Config) -> tuple[int, int]:
    """Return the predicted peak of the config's step, and that of the same end to end."""
    end_to_end = Config(cfg.to_dict())
    set_partition(end_to_end, num_modules=1)
    return config_peak(resolve(cfg)).total, config_peak(end_to_end).total


def show(
    metrics: dict[str, float], majority: str, baseline: dict[str, float], cfg: Config
) -> Table:
    table = Table(
        title='Local modules (K=2) beside the alternative',
        caption='peak: of one training step, predicted on fake tensors',
    )
    for column in ('', 'local modules', 'alternative', 'ratio'):
        table.add_column(column, justify='right' if column else 'left')
    for name in ('mIoU', 'aAcc'):
        table.add_row(
            f'{name}, validation scenes',
            f'{metrics[name]:.1f} %',
            f'{baseline[name]:.1f} % (all "{majority}")',
            f'{metrics[name] / baseline[name]:.1f} x',
        )
    cityscapes = read_config(CITYSCAPES)
    for name, trial in (('this network', cfg), ('R101, Cityscapes', cityscapes)):
        local, end_to_end = peaks(trial)
        unit, size = table_unit(end_to_end)
        table.add_row(
            f'peak, {name}',
            f'{local / size:.2f} {unit}',
            f'{end_to_end / size:.2f} {unit} (end-to-end)',
            f'{local / end_to_end:.1%}',
        )
    return table


def draw(runner: Runner, path: Path) -> None:
    dataset = runner.test_dataloader.dataset
    model = runner.model.eval()
    indices = [index for index in PICTURED if index < len(dataset)]
    examples = [make_example(model, dataset[index]) for index in indices]
    meta = dataset.metainfo
    figure = comparison_figure(examples, meta['classes'], meta['palette'])
    save_figure(figure, path, dpi=110)


@command
def main(args: Namespace) -> None:
    console = Console()
    torch.set_num_threads(2)
    height, width = args.size
    settings = StreetSettings(args.train, args.val, height, width)
    cfg = demo_config(args)
    check_folder('--data-root', args.data_root)
    check_folder('--work-dir', args.work_dir)
    if trained_iterations(cfg):
        find_resume_checkpoint(cfg)  # raises if none can be opened
    make_data(args.data_root, settings)
    with own_work_dir(cfg):
        runner = train_or_reuse(cfg, console)
    console.print('evaluating ...')
    with redirect_stdout(io.StringIO()):
        metrics = runner.test()
    majority, baseline = majority_scores(cfg, args.data_root)
    classes = runner.test_dataloader.dataset.metainfo['classes']
    console.print('dry steps ...')
    console.print(show(metrics, classes[majority], baseline, cfg))
    picture = Path(cfg.work_dir) / 'demo.png'
    draw(runner, picture)
    console.print(f'picture: {picture}')
