"""Evaluate a checkpoint, of whatever partition it was trained in."""

from __future__ import annotations

import json
import math
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from rich.console import Console
from rich.table import Table

from ..config.read import choose_work_dir, read_config
from ..files.outputs import check_output
from ..parallel import process_group
from ..run.evaluation import prepare_testing
from ..run.runner import InfoProRunner
from .ending import command
from .outputs import JSON


def write_metrics(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all; what is no number becomes null."""
    # mmseg rounds to two decimals, but in single precision.
    metrics = {name: round(float(value), 4) for name, value in content['metrics'].items()}
    valid = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    text = json.dumps({**content, 'metrics': valid}, indent=2) + '\n'
    get_file_backend(backend_args=dict(backend='atomic')).put(text.encode(), path)


def print_metrics(metrics: dict[str, float], mode: str) -> None:
    table = Table(title=f'{mode}, in percent')
    table.add_column('metric')
    table.add_column('value', justify='right')
    for name, value in metrics.items():
        table.add_row(name, f'{value:.2f}')
    Console().print(table)


@command
def main(args: Namespace) -> None:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))  # where mmengine looks for it
    inputs = args.config, args.checkpoint
    check_output('--out', args.out, JSON, makes_folder=True, inputs=inputs)
    cfg = read_config(args.config, args.cfg_options)
    choose_work_dir(cfg, args.work_dir)
    cfg.launcher = args.launcher
    cfg = prepare_testing(cfg, args.checkpoint, args.tta)
    with process_group(args.launcher, cfg.get('env_cfg')):
        runner = InfoProRunner.from_cfg(cfg)
        out = args.out or Path(runner.log_dir) / 'metrics.json'
        metrics = runner.test()
        reports = is_main_process()
        del runner  # it holds the process group
    if reports:
        mode = args.tta or 'single-scale'
        write_metrics(
            out,
            dict(config=args.config, checkpoint=args.checkpoint, mode=mode, metrics=metrics),
        )
        print_metrics(metrics, mode)
        print(f'written: {out}')
