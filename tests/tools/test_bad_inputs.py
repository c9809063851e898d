"""Bad settings on a command line: one sentence, exit status 2, and nothing is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

SETTINGS = [
    'modl.local.num_modules=4',
    'optim_wraper.optimizer.lr=1',
    'seed=1',
    'train_cfg.max_iter=3',
    'train_cfg.max_iters=2.5',
    'train_cfg.max_iters=-5',
    'train_cfg.val_interval=0',
    'train_cfg.type=IterLoop',
    'train_dataloader.batchsize=2',
    'train_dataloader.batch_size=0',
    'train_dataloader.batch_size=two',
    'train_dataloader.num_workers=-1',
    'train_dataloader.sampler.type=Infinite',
    'train_dataloader.dataset.dataset.data_root=nowhere',
    'train_dataloader.dataset.dataset.pipeline.2.crop_size=(0,0)',
    'train_dataloader.dataset.dataset.pipeline.2.type=RandomCropp',
    'optim_wrapper.optimizer.lr=abc',
    'optim_wrapper.optimizer.lr=nan',
    'optim_wrapper.optimizer.lr=-1',
    'optim_wrapper.optimizer.type=SGDD',
    'optim_wrapper.type=OptimWrapperr',
    'optim_wrapper.accumulative_counts=0',
    'param_scheduler.0.type=PolyLRR',
    'param_scheduler.0.power=abc',
    'default_hooks.checkpoint.intervall=3',
    'default_hooks.checkpoint.interval=abc',
    'default_hooks.checkpoint.save_best=mIoUU',
    'default_hooks.logger.type=LoggerHok',
    'val_evaluator.iou_metrics=[mIoUU]',
    'model.type=InfoProEncoderDecoderr',
    'model.backbone.depth=17',
    'model.backbone.norm_cfg.type=BNN',
    'model.decode_head.type=FCNHeadd',
    'model.decode_head.in_channels=99',
    'model.decode_head.num_classes=5',
    'model.decode_head.loss_decode.loss_weight=-1',
    'model.decode_head.loss_decode.loss_weight=abc',
    'model.data_preprocessor.size=(0,0)',
    'model.data_preprocessor.std=[0,1,1]',
    'model.local.memory_margin=much',
    'model.local.image_range=5',
    'model.local.may_thaw=3',
    'randomness.seed=abc',
    'log_level=LOUD',
    'env_cfg.mp_cfg.mp_start_method=forkk',
]


@pytest.mark.parametrize('setting', SETTINGS)
def test_a_setting_that_cannot_be_meant_is_one_sentence(
    setting: str, config: Path, run: Run, tmp_path: Path
) -> None:
    work_dir = tmp_path / 'run'
    outcome = run('train', config, '--work-dir', work_dir, '--cfg-options', setting)
    assert outcome.error
    assert not list(work_dir.rglob('*.pth'))
