"""Evaluate a checkpoint, of whatever partition it was trained in.

Example:
    python tools/test.py configs/infopro_deeplabv3_cityscapes.py work_dirs/first/iter_40000.pth \\
        --work-dir work_dirs/first --tta ms-flip
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from rich.console import Console
from rich.table import Table

from mmseg_infopro.commands import (
    CONFIG,
    JSON,
    add_launcher_arguments,
    command,
    config_parser,
    parse_in_job,
)
from mmseg_infopro.config.read import choose_work_dir, read_config
from mmseg_infopro.files.outputs import check_output
from mmseg_infopro.parallel import process_group
from mmseg_infopro.run.evaluation import TTA_MODES, prepare_testing
from mmseg_infopro.run.runner import InfoProRunner


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, f'{CONFIG}; configs are code, run only what you trust')
    parser.add_argument('checkpoint', help='a file or an http(s) URL')
    parser.add_argument('--work-dir', help='where logs and metrics go')
    parser.add_argument(
        '--tta',
        nargs='?',
        choices=TTA_MODES,
        const='ms-flip',
        help="test-time augmentation on the scales of the config's tta_pipeline (0.5, 0.75, 1, "
        '1.25, 1.5, 1.75 in ours): ms, or ms-flip (if no mode is named) with mirrored images too',
    )
    parser.add_argument(
        '--out',
        type=Path,
        help="where the metrics go, as JSON (default: metrics.json beside the evaluation's log, in "
        'WORK_DIR/TIMESTAMP)',
    )
    add_launcher_arguments(parser)
    return parse_in_job(parser)


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
def main() -> None:
    args = parse_args()
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


if __name__ == '__main__':
    sys.exit(main())
