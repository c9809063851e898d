"""Evaluate a checkpoint, of whatever partition it was trained in.

Example:
    infopro test configs/infopro_deeplabv3_cityscapes.py work_dirs/first/iter_40000.pth \\
        --work-dir work_dirs/first --tta ms-flip
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from ..options import add_cfg_options, add_config, add_launcher_arguments
from ..words import TTA_MODES


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_config(parser, trusted=True)
    add_cfg_options(parser)
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
