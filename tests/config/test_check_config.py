"""What a Runner would build is refused early, by a sentence that names its place."""

from argparse import Namespace
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

from mmseg_infopro.commands.ending import command
from mmseg_infopro.config.check_config import check_testing_config, check_training_config
from mmseg_infopro.config.read import read_config

CONFIG = str(Path(__file__).parents[2] / 'configs/camvid/infopro_deeplabv3_r18.py')
PIPELINE = 'train_dataloader.dataset.dataset.pipeline'
REFUSED = [
    # key, value, what the sentence must hold
    # types
    ('model.type', 'EncoderDecoderr', r'model\.type: there is no model .*did you mean EncoderDec'),
    ('optim_wrapper.type', 'OptimWraper', r'optim_wrapper: .*did you mean OptimWrapper'),
    ('optim_wrapper.optimizer.type', 'SGDD', r'optim_wrapper\.optimizer: .*did you mean SGD'),
    ('optim_wrapper.constructor', 'Default', r'optim_wrapper\.constructor: there is no'),
    ('param_scheduler.0.type', 'PolyLRR', r'param_scheduler\[0\]: .*did you mean PolyLR'),
    ('train_cfg.type', 'IterBasedLoop', r'train_cfg: there is no loop'),
    ('train_dataloader.sampler.type', 'Infinite', r'train_dataloader\.sampler: there is no'),
    ('val_dataloader.sampler.type', 'Default', r'val_dataloader\.sampler: there is no'),
    ('train_dataloader.dataset.type', 'Repeat', r'train_dataloader\.dataset: there is no dataset'),
    ('train_dataloader.dataset.dataset.type', 'X', r'train_dataloader\.dataset\.dataset: there is'),
    (f'{PIPELINE}.0.type', 'LoadImage', r'pipeline\[0\]: there is no transform'),
    ('val_evaluator.type', 'IoUMetrics', r'val_evaluator: .*did you mean IoUMetric'),
    ('default_hooks.logger.type', 'LogerHook', r'default_hooks\.logger: .*did you mean LoggerHook'),
    ('custom_hooks', [dict(type='EMAHok')], r'custom_hooks\[0\]: .*did you mean EMAHook'),
    ('custom_hooks', [dict(type='EMAHook', ema_type='X')], r"custom_hooks\[0\].*ema_type 'X'"),
    ('custom_hooks', [dict(interval=1)], r'custom_hooks\[0\] has no type'),
    ('visualizer', dict(type='Visual'), r'visualizer: there is no visualizer'),
    (
        'visualizer',
        dict(type='SegLocalVisualizer', vis_backends=[dict(type='X')]),
        r'backends\[0\]',
    ),
    ('model_wrapper_cfg', dict(type='DDP'), r'model_wrapper_cfg: there is no'),
    ('model.backbone.norm_cfg.type', 'BNN', r'model\.backbone\.norm_cfg: there is no layer'),
    # arguments
    (
        f'{PIPELINE}.2',
        dict(type='RandomResize', scale=9, keepratio=1),
        r'keepratio: did you mean',
    ),
    (f'{PIPELINE}.2', dict(type='RandomCrop'), r'\[2\] \(RandomCrop\) needs crop_size'),
    ('val_evaluator', dict(type='IoUMetric', metric=['mIoU']), r'val_evaluator.*takes no metric'),
    ('custom_hooks', [dict(type='EMAHook', momentun=1e-3)], r'takes no momentun: did you mean mom'),
    ('default_hooks.checkpoint', dict(type='CheckpointHook', save_opt=True), r'takes no save_opt'),
    ('randomness', dict(sed=1), r'randomness has no sed: did you mean seed'),
    ('env_cfg', dict(cudnn=True), r'env_cfg has no cudnn'),
    ('train_dataloader', dict(batchsize=2), r'train_dataloader has no batchsize: did you mean'),
    ('param_scheduler', [dict(type='PolyLR', powr=1)], r'param_scheduler\[0\].*powr'),
    (
        'log_processor',
        dict(windowsize=3),
        r'no windowsize: did you mean window_size',
    ),
    (
        'optim_wrapper.paramwise_cfg',
        dict(custom_key={}),
        r'no custom_key: did you mean',
    ),
    (
        'optim_wrapper',
        dict(optimizer=dict(type='SGD', lr=0.1), paramwise_cfg=dict(norm_decay_mult=0.0)),
        r'optim_wrapper\.paramwise_cfg: base_wd should not be None',
    ),
    # values
    ('optim_wrapper.optimizer.lr', 'abc', r"optim_wrapper\.optimizer\.lr must be a number, got 'a"),
    ('optim_wrapper.optimizer.lr', float('nan'), r'optimizer\.lr is not a number'),
    ('optim_wrapper.optimizer.lr', float('inf'), r'optimizer\.lr must be finite'),
    ('optim_wrapper.optimizer.lr', -0.1, r'optimizer\.lr must be at least 0'),
    ('optim_wrapper.optimizer.momentum', 'much', r'optimizer\.momentum must be a number'),
    ('optim_wrapper.accumulative_counts', 0, r'accumulative_counts must be a whole number of at'),
    ('optim_wrapper.accumulative_counts', 1.5, r'accumulative_counts must be a whole number of at'),
    ('optim_wrapper.clip_grad', dict(max_norm='x'), r'clip_grad\.max_norm must be a number'),
    ('train_cfg.max_iters', 2.5, r'train_cfg\.max_iters must be a whole number'),
    ('train_cfg.max_iters', -5, r'train_cfg\.max_iters must be a whole number'),
    ('train_cfg.max_iters', 'many', r'train_cfg\.max_iters must be a whole number'),
    ('train_cfg.val_interval', 0, r'train_cfg\.val_interval must be a whole number'),
    ('train_dataloader.batch_size', 0, r'train_dataloader\.batch_size must be a whole number'),
    ('train_dataloader.num_workers', -1, r'train_dataloader\.num_workers must be at least 0'),
    (f'{PIPELINE}.2', dict(type='RandomCrop', crop_size=(0, 0)), r'crop_size: a size must be one'),
    (f'{PIPELINE}.2', dict(type='RandomFlip', prob=2.0), r'pipeline\[2\] \(RandomFlip\): '),
    ('model.data_preprocessor.size', (64, 'x'), r'data_preprocessor\.size: a size must be one'),
    ('model.data_preprocessor.std', [0, 1, 1], r'std\[0\] must be above 0'),
    ('model.decode_head.loss_decode.loss_weight', -1, r'loss_weight must be at least'),
    (
        'model.decode_head.loss_decode.loss_weight',
        'a',
        r'loss_weight must be a number',
    ),
    ('param_scheduler.0.power', 'abc', r'param_scheduler\[0\]\.power must be a number'),
    ('param_scheduler.0.end', -5, r'param_scheduler\[0\]'),
    ('default_hooks.checkpoint.interval', 'a', r'checkpoint\.interval must be a whole number'),
    ('default_hooks.checkpoint.save_best', 'mIou', r'save_best must be .*did you mean mIoU'),
    ('default_hooks.logger.interval', 0, r'logger\.interval must be a whole number'),
    ('val_evaluator.iou_metrics', ['mIoUU'], r"val_evaluator \(IoUMetric\).*'mIoUU'"),
    ('randomness', dict(seed='abc'), r'randomness\.seed must be a whole number'),
    ('log_level', 'LOUD', r'log_level must be one of'),
    ('env_cfg.mp_cfg.mp_start_method', 'forkk', r'mp_start_method must be one of fork'),
    # what goes together
    ('val_evaluator', None, r'go together, and the config has no val_evaluator'),
    ('train_cfg', None, r'training needs train_cfg'),
    ('optim_wrapper', None, r'training needs optim_wrapper'),
    (PIPELINE, 'LoadImageFromFile', r'pipeline must be a list of dicts'),
]
ACCEPTED = [
    ('default_hooks.checkpoint.interval', -1),
    ('default_hooks.timer', None),
    ('val_evaluator', [dict(type='IoUMetric', iou_metrics=['mIoU', 'mDice'], prefix='val')]),
    ('custom_hooks', [dict(type='EMAHook', momentum=1e-3, priority='LOW')]),
    ('optim_wrapper.clip_grad', dict(max_norm=1, norm_type=2)),
    ('param_scheduler', dict(type='MultiStepLR', milestones=[3], by_epoch=False)),
    ('param_scheduler', dict(type='CosineAnnealingLR', T_max=9, convert_to_iter_based=True)),
    ('optim_wrapper.optimizer', dict(type='AdamW', lr=1e-3, betas=(0.9, 0.99), weight_decay=0)),
    ('train_cfg', dict(type='EpochBasedTrainLoop', max_epochs=3)),
    ('train_cfg', dict(by_epoch=True, max_epochs=3, val_interval=1)),
    ('train_dataloader.prefetch_factor', 4),
]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def config(key, value):
    cfg = read_config(CONFIG)
    *parents, name = key.split('.')
    parent = cfg
    for item in parents:
        parent = parent[int(item)] if item.isdigit() else parent.setdefault(item, {})
    if key == 'train_dataloader':
        parent[name].update(value)
    else:
        parent[int(name) if name.isdigit() else name] = value
    return cfg


@pytest.mark.parametrize(('key', 'value', 'sentence'), REFUSED)
def test_what_cannot_be_meant_is_refused(key, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_training_config(config(key, value))


@pytest.mark.parametrize(('key', 'value'), ACCEPTED)
def test_what_mmengine_takes_is_accepted(key, value):
    check_training_config(config(key, value))


def test_an_evaluation_is_checked_for_what_it_builds():
    check_testing_config(config('train_cfg', None))
    with pytest.raises(ValueError, match=r'test_evaluator: there is no metric'):
        check_testing_config(config('test_evaluator', dict(type='IoU')))


def test_whatever_is_raised_is_a_sentence_and_its_traceback_is_kept(capsys):
    @command
    def main(args):
        raise IndexError('list index out of range')

    assert main(Namespace()) == 2
    sentence = capsys.readouterr().err
    assert sentence.startswith('error: IndexError: list index out of range (traceback: ')
    log = sentence.rstrip(')\n').rpartition('traceback: ')[2]
    assert 'Traceback (most recent call last)' in Path(log).read_text()
    Path(log).unlink()
