"""Keys of a command line that nothing reads are slips; new ones that something reads work."""

from argparse import Namespace
from pathlib import Path

import pytest

from mmseg_infopro.config.options import check_contradictions
from mmseg_infopro.config.read import read_config

CONFIG = str(Path(__file__).parents[2] / 'configs/camvid/infopro_deeplabv3_r18.py')
SLIPS = {
    'modl.local.num_modules': 'did you mean model?',
    'optim_wraper.optimizer.lr': 'did you mean optim_wrapper?',
    'seed': 'did you mean randomness.seed?',
    'val_interval': 'did you mean train_cfg.val_interval?',
    'lr': 'did you mean optim_wrapper.optimizer.lr?',
    'train_cfg.max_iter': 'did you mean train_cfg.max_iters?',
    'train_dataloader.batchsize': 'did you mean train_dataloader.batch_size?',
    'default_hooks.checkpoint.intervall': 'did you mean default_hooks.checkpoint.interval?',
    'default_hooks.chekpoint.interval': 'did you mean default_hooks.checkpoint?',
    'optim_wrapper.optimizer.momentumm': 'did you mean optim_wrapper.optimizer.momentum?',
    'optim_wrapper.clip_gard.max_norm': 'did you mean optim_wrapper.clip_grad?',
    'param_scheduler.0.powr': 'did you mean param_scheduler[0].power?',
    'model.bakcbone.depth': 'did you mean model.backbone?',
    'model.backbone.dept': 'did you mean model.backbone.depth?',
    'model.decode_head.loss_decode.loss_weigth': 'loss_decode.loss_weight?',
    'model.data_preprocessor.sizes': 'did you mean model.data_preprocessor.size?',
    'model.test_cfg.mod': 'did you mean model.test_cfg.mode?',
    'randomness.sed': 'did you mean randomness.seed?',
    'train_dataloader.dataset.dataset.pipeline.0.colour_type': 'color_type?',
    'nothing_of_the_kind': 'nothing reads nothing_of_the_kind',
}
NEW = {
    'model.local.warm_start': True,
    'model.backbone.frozen_stages': 1,
    'model.decode_head.dropout_ratio': 0.2,
    'model.decode_head.norm_cfg.requires_grad': True,
    'model.data_preprocessor.bgr_to_rgb': True,
    'model.test_cfg.crop_size': (64, 64),
    'optim_wrapper.accumulative_counts': 2,
    'optim_wrapper.clip_grad.max_norm': 1.0,
    'optim_wrapper.optimizer.nesterov': True,
    'optim_wrapper.paramwise_cfg.custom_keys.head.lr_mult': 10.0,
    'param_scheduler.0.verbose': False,
    'train_dataloader.prefetch_factor': 2,
    'train_dataloader.drop_last': True,
    'train_cfg.val_begin': 1,
    'randomness.seed': 1,
    'default_hooks.checkpoint.max_keep_ckpts': 1,
    'default_hooks.ema.type': 'EMAHook',
    'default_hooks.logger.priority': 'LOW',
    'find_unused_parameters': True,
    'load_from': 'x.pth',
    'experiment_name': 'first',
}


@pytest.mark.parametrize(('key', 'hint'), SLIPS.items())
def test_a_slip_is_told(key, hint):
    with pytest.raises(ValueError, match=r'nothing reads') as refused:
        read_config(CONFIG, {key: 1})
    assert hint in str(refused.value)


@pytest.mark.parametrize(('key', 'value'), NEW.items())
def test_a_new_key_that_something_reads_works(key, value):
    found = read_config(CONFIG, {key: value})
    for name in key.split('.'):
        found = found[int(name)] if name.isdigit() else found[name]
    assert found == value


@pytest.mark.parametrize(
    ('wishes', 'setting'),
    [
        (dict(num_modules=3), 'model.local.boundaries=[layer1.0]'),
        (dict(num_modules=3), 'model.local.num_modules=2'),
        (dict(boundaries=['layer1.0']), 'model.local.memory_cap=1GiB'),
        (dict(resume=True), 'load_from=x.pth'),
    ],
)
def test_contradictions_are_refused(wishes, setting):
    with pytest.raises(ValueError, match='leave out one'):
        check_contradictions(Namespace(**wishes, cfg_options=[setting]))


def test_one_wish_said_twice_is_none():
    options = ['model.local.num_modules=3']
    check_contradictions(Namespace(num_modules=3, resume=True, cfg_options=options))


def test_arguments_are_those_of_the_type_that_a_command_line_names():
    counts = {'val_evaluator.type': 'ImageCountsMetric', 'val_evaluator.counts_dir': 'counts'}
    assert read_config(CONFIG, counts).val_evaluator.counts_dir == 'counts'
    with pytest.raises(ValueError, match=r'nothing reads val_evaluator\.count_dir'):
        read_config(
            CONFIG, {'val_evaluator.type': 'ImageCountsMetric', 'val_evaluator.count_dir': 1}
        )
