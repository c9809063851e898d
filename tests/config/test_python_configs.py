"""Configs in mmengine's newer style, in which types are classes, are like any others."""

import pytest
from mmcv.transforms import RandomResize, Resize
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import AmpOptimWrapper

from mmseg_infopro import localize
from mmseg_infopro.config.check_config import check_training_config
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.config.step import config_peak, step_shape
from mmseg_infopro.config.writing import inheriting_config

BASE = """
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import PolyLR
from mmengine.runner import IterBasedTrainLoop
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import GenerateEdge, LoadAnnotations, PackSegInputs, RandomCrop
from mmseg.models import EncoderDecoder, SegDataPreProcessor
from mmseg.models.backbones import ResNetV1c
from mmseg.models.decode_heads import FCNHead
from mmseg.models.losses import CrossEntropyLoss
from torch.optim import SGD
head = dict(
    type=FCNHead, in_channels=64, in_index=3, channels=8, num_convs=1, concat_input=False,
    num_classes=5, loss_decode=dict(type=CrossEntropyLoss, avg_non_ignore=True),
)
model = dict(
    type=EncoderDecoder,
    data_preprocessor=dict(type=SegDataPreProcessor, mean=[120.0], std=[60.0], size=(64, 64)),
    backbone=dict(type=ResNetV1c, depth=18, stem_channels=8, base_channels=8),
    decode_head=head,
)
pipeline = [
    dict(type=LoadImageFromFile), dict(type=LoadAnnotations),
    dict(type=RandomCrop, crop_size=(64, 64)), dict(type=GenerateEdge), dict(type=PackSegInputs),
]
train_dataloader = dict(
    batch_size=2, sampler=dict(type=InfiniteSampler),
    dataset=dict(type=BaseSegDataset, pipeline=pipeline),
)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.01, momentum=0.9))
param_scheduler = [dict(type=PolyLR, end=4, by_epoch=False)]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=4)
default_hooks = dict(checkpoint=dict(type=CheckpointHook, interval=2))
"""
CHILD = """
from mmengine.config import read_base
with read_base():
    from .base import *
train_cfg.update(max_iters=8)
"""


@pytest.fixture(params=['base', 'child'])
def file(request, tmp_path):
    """Return a config, or one that inherits from it."""
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'child.py').write_text(CHILD)
    return tmp_path / f'{request.param}.py'


def test_it_is_checked_cut_and_planned(file):
    cfg = read_config(str(file), {'train_dataloader.batch_size': 1})
    check_training_config(cfg)
    local = resolve(localize(cfg, num_modules=2))
    assert len(local.model.local.boundaries) == 1
    assert step_shape(local).has_edges
    assert config_peak(local).total < config_peak(cfg).total


def test_mixed_precision_is_known_by_its_class(file):
    cfg = read_config(str(file))
    cfg.optim_wrapper.type = AmpOptimWrapper
    assert 'float16' in str(step_shape(cfg).autocast)
    override_step(cfg, amp='none')
    assert step_shape(cfg).autocast is None


def test_a_slip_is_told(file):
    with pytest.raises(ValueError, match=r'did you mean optim_wrapper\.optimizer\.lr'):
        read_config(str(file), {'optim_wrapper.optimizer.lrr': 1})


def test_what_is_written_can_be_read(file, tmp_path):
    base = read_config(str(file))
    cfg, out = localize(base, boundaries=['layer2.0']), tmp_path / 'written.py'
    out.write_text(inheriting_config(base, str(file), cfg, out))
    again = Config.fromfile(out)
    assert resolve(again).model.local.boundaries == ['layer2.0']
    assert again.train_cfg.max_iters == base.train_cfg.max_iters


@pytest.mark.parametrize('scope', ['', 'default_scope = None\n'])
def test_a_config_without_scope_gets_one_for_what_is_added_by_name(file, tmp_path, scope):
    (tmp_path / 'base.py').write_text(BASE + scope)
    assert localize(read_config(str(file)), num_modules=2).default_scope == 'mmseg'


def test_parts_that_name_classes_to_build_are_checked(file):
    cfg = read_config(str(file))
    cfg.custom_hooks = [dict(type=EMAHook, ema_type=ExponentialMovingAverage, momentum=0.1)]
    enlarge = dict(type=RandomResize, scale=(96, 64), resize_type=Resize, keep_ratio=True)
    cfg.train_dataloader.dataset.pipeline.insert(2, enlarge)
    check_training_config(cfg)
    enlarge['keep_ratioo'] = True
    cfg.train_dataloader.dataset.pipeline[2] = enlarge
    with pytest.raises(ValueError, match=r'takes no keep_ratioo: did you mean keep_ratio\?'):
        check_training_config(cfg)
