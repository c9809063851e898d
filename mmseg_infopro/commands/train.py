"""Train a model in local modules, or any other mmseg model, from a config."""

from __future__ import annotations

import os
from argparse import Namespace
from urllib.error import URLError

from ..config.arguments import apply_partition_arguments
from ..config.helpful import with_helpful_modules
from ..config.own_hooks import draw_pictures
from ..config.placement import apply_placement, place_by_arguments
from ..config.read import choose_work_dir, read_config, use_amp
from ..hooks import ProgressHook, explained_out_of_memory
from ..parallel import note_training, on_main_process, process_group
from ..run.console import show_module_losses
from ..run.faults import explained_faults
from ..run.prediction import log_prediction
from ..run.resume_point import is_restarted
from ..run.runner import InfoProRunner
from ..run.training import prepare_training
from ..run.work_dir import own_work_dir
from .ending import command, traceback_in_log


@command
def main(args: Namespace) -> None:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))  # where mmengine looks for it
    cfg = read_config(args.config, args.cfg_options)
    if args.amp:
        use_amp(cfg)
    if args.pictures is not None:
        draw_pictures(cfg, args.pictures)
    place_by_arguments(args)
    cfg = apply_partition_arguments(cfg, args)
    apply_placement(cfg, args)
    asks = args.num_modules is not None or args.boundaries is not None
    choose_work_dir(cfg, args.work_dir)
    cfg.launcher = args.launcher
    group = process_group(args.launcher, cfg.get('env_cfg'))
    with group, own_work_dir(cfg), explained_faults(cfg):
        if asks and args.method is None:
            cfg = on_main_process(lambda: with_helpful_modules(cfg, args.force))
        cfg = prepare_training(cfg, args.resume or is_restarted(cfg))
        note_training()
        log_prediction(cfg)
        runner = InfoProRunner.from_cfg(cfg)
        runner.register_hook(ProgressHook(), priority='VERY_LOW')
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
