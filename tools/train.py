"""Train a model in local modules, or any other mmseg model, from a config.

Example:
    python tools/train.py configs/infopro_deeplabv3_cityscapes.py --work-dir work_dirs/first \\
        --cfg-options model.local.num_modules=4
    python tools/train.py mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py \\
        --num-modules 4
"""

from __future__ import annotations

import argparse
import sys
from urllib.error import URLError

from mmseg_infopro.commands import (
    CONFIG,
    add_launcher_arguments,
    command,
    config_parser,
    parse_in_job,
    traceback_in_log,
)
from mmseg_infopro.config.arguments import add_partition_arguments, apply_partition_arguments
from mmseg_infopro.config.helpful import with_helpful_modules
from mmseg_infopro.config.read import choose_work_dir, read_config, use_amp
from mmseg_infopro.hooks import PicturesHook, ProgressHook, explained_out_of_memory
from mmseg_infopro.parallel import on_main_process, process_group
from mmseg_infopro.run.console import show_module_losses
from mmseg_infopro.run.faults import explained_faults
from mmseg_infopro.run.prediction import log_prediction
from mmseg_infopro.run.runner import InfoProRunner
from mmseg_infopro.run.training import prepare_training
from mmseg_infopro.run.work_dir import own_work_dir


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__, f'{CONFIG}; configs are code, run only what you trust')
    add_partition_arguments(parser)
    parser.add_argument(
        '--force', action='store_true', help='keep a --num-modules that saves nothing'
    )
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--resume', action='store_true', help='go on from the last checkpoint in the work dir'
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision in float16; optim_wrapper.dtype=bfloat16 in --cfg-options',
    )
    parser.add_argument(
        '--module-losses', action='store_true', help="log each module's losses on the console, too"
    )
    parser.add_argument(
        '--pictures',
        type=int,
        metavar='N',
        help='draw N validation images each time: prediction, and what every local module rebuilds',
    )
    add_launcher_arguments(parser)
    return parse_in_job(parser)


@command
def main() -> None:
    args = parse_args()
    pictures = PicturesHook(args.pictures) if args.pictures is not None else None
    cfg = read_config(args.config, args.cfg_options)
    if args.amp:
        use_amp(cfg)
    cfg = apply_partition_arguments(cfg, args)
    asks = args.num_modules is not None or args.boundaries is not None
    choose_work_dir(cfg, args.work_dir)
    cfg.launcher = args.launcher
    group = process_group(args.launcher, cfg.get('env_cfg'))
    with group, own_work_dir(cfg), explained_faults(cfg):
        if asks and args.method is None:
            cfg = on_main_process(lambda: with_helpful_modules(cfg, args.force))
        cfg = prepare_training(cfg, args.resume)
        log_prediction(cfg)
        runner = InfoProRunner.from_cfg(cfg)
        runner.register_hook(ProgressHook(), priority='VERY_LOW')
        if pictures is not None:
            runner.register_hook(pictures)
        if args.module_losses:
            show_module_losses(runner.logger)
        with traceback_in_log(runner.logger), explained_out_of_memory(runner):
            try:
                runner.train()
            except URLError as error:
                raise ValueError(
                    f'the pretrained weights ({cfg.model.get("pretrained")}) could not be '
                    f'downloaded ({error.reason}); set model.pretrained to a file, or to None'
                ) from error
        del runner  # it holds the process group


if __name__ == '__main__':
    sys.exit(main())
