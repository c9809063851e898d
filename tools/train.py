"""Train a model in local modules, or any other mmseg model, from a config.

Example:
    python tools/train.py configs/infopro_deeplabv3_cityscapes.py --work-dir work_dirs/first \\
        --cfg-options model.local.num_modules=4
"""

from __future__ import annotations

import argparse
import os
import sys

from mmengine.config import DictAction
from mmengine.runner import Runner

from mmseg_infopro.commands import command
from mmseg_infopro.parallel import init_cpu_distributed
from mmseg_infopro.running import choose_work_dir, prepare_training, read_config, use_amp


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config file; configs are code, run only what you trust')
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--resume', action='store_true', help='go on from the last checkpoint in the work dir'
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings as key=value; one of model.local.num_modules, model.local.boundaries and '
        'model.local.memory_cap replaces the others',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='of the job'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by torchrun')
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


@command
def main() -> None:
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    choose_work_dir(cfg, args.work_dir)
    cfg.launcher = args.launcher
    if args.amp:
        use_amp(cfg)
    cfg = prepare_training(cfg, args.resume)
    init_cpu_distributed(args.launcher)
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    sys.exit(main())
