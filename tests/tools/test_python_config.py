"""A config in mmengine's newer style, in which types are classes, with the commands of a run."""

from pathlib import Path

import pytest
import torch

from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.tools.conftest import Run

CONFIG = """
from mmcv.transforms import LoadImageFromFile, RandomApply, RandomChoice, RandomResize, Resize
from mmcv.transforms import RandomFlip, TestTimeAug
from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler, RepeatDataset
from mmengine.hooks import CheckpointHook, EMAHook, LoggerHook
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmengine.optim.scheduler import PolyLR
from mmengine.runner import IterBasedTrainLoop, TestLoop, ValLoop
from mmseg.datasets import CityscapesDataset
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs, RandomCrop
from mmseg.evaluation import IoUMetric
from mmseg.models import SegDataPreProcessor, SegTTAModel
from mmseg.models.decode_heads import FCNHead
from mmseg.models.losses import CrossEntropyLoss
from torch.nn import SyncBatchNorm
from torch.optim import SGD
{model}
norm = dict(type=SyncBatchNorm, requires_grad=True)
model = dict(
    type=Segmentor,
    data_preprocessor=dict(type=SegDataPreProcessor, mean=[120.0], std=[60.0], size=(64, 64)),
    backbone=dict(type=Backbone, depth=18, stem_channels=8, base_channels=8, norm_cfg=norm),
    decode_head=dict(
        type=FCNHead, in_channels=64, channels=8, num_convs=1, concat_input=False, num_classes=19,
        norm_cfg=norm, loss_decode=dict(type=CrossEntropyLoss),
    ),
    test_cfg=dict(mode='whole'),
    **local,
)
load = [dict(type=LoadImageFromFile), dict(type=LoadAnnotations)]
enlarge = dict(type=RandomResize, scale=(160, 80), ratio_range=(1, 2), resize_type=Resize)
pipeline = [
    *load, dict(type=RandomChoice, transforms=[[enlarge], [dict(type=RandomFlip, prob=0.5)]]),
    dict(type=RandomCrop, crop_size=(64, 64)),
    dict(type=RandomApply, transforms=[dict(type=RandomFlip, prob=1.0)]), dict(type=PackSegInputs),
]
data = dict(type=CityscapesDataset, data_root='{data}')
train_dataloader = dict(
    batch_size=2, sampler=dict(type=InfiniteSampler),
    dataset=dict(type=RepeatDataset, times=2, dataset=dict(
        **data, pipeline=pipeline,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
    )),
)
test_dataloader = dict(
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        **data, pipeline=[*load, dict(type=PackSegInputs)],
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
    ),
)
test_evaluator = dict(type=IoUMetric)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=SGD, lr=0.01, momentum=0.9))
param_scheduler = [dict(type=PolyLR, end=4, by_epoch=False)]
train_cfg = dict(type=IterBasedTrainLoop, max_iters=2)
custom_hooks = [dict(type=EMAHook, ema_type=ExponentialMovingAverage)]
default_hooks = dict(
    checkpoint=dict(type=CheckpointHook, interval=2, by_epoch=False),
    logger=dict(type=LoggerHook, interval=1),
)
log_processor = dict(by_epoch=False)
tta_model = dict(type=SegTTAModel)
views = [[dict(type=Resize, scale_factor=1.0)], [dict(type=RandomFlip, prob=1.0)]]
tta_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=TestTimeAug, transforms=[*views, [dict(type=LoadAnnotations)],
                                       [dict(type=PackSegInputs)]]),
]
"""
MODELS = {
    'plain': """
from mmseg.models import EncoderDecoder as Segmentor
from mmseg.models.backbones import ResNetV1c as Backbone
local = dict()
""",
    'own': """
from mmseg_infopro.backbones import InfoProResNetV1c as Backbone
from mmseg_infopro.local_heads import LinearHead
from mmseg_infopro.segmentors import InfoProEncoderDecoder as Segmentor
local = dict(local=dict(boundaries=['layer2.0'], heads=[dict(type=LinearHead)]))
""",
}
CHILD = """
from mmengine.config import read_base
from mmengine.config import read_base
with read_base():
    from .base import *
train_dataloader.update(batch_size=1)
"""


TRAIN = ('train', 'child.py', '--work-dir', 'run')
EXPORT = ('export', 'run/child.py', 'run/iter_2.pth', '--out', 'plain')
COMMANDS = {
    'plain': (
        (*TRAIN, '--num-modules', 2),
        ('test', 'child.py', 'run/iter_2.pth', '--work-dir', 'run', '--tta', 'ms'),
        EXPORT,
        ('localize', 'child.py', '--num-modules', 2, '-o', 'cut.py'),
        ('memory', 'cut.py', '--num-modules', 2),
        ('report', 'run'),
    ),
    'own': (
        TRAIN,
        (*TRAIN, '--resume', '--cfg-options', 'train_cfg.max_iters=3'),
        EXPORT,
        ('test', 'plain/child.py', 'plain/iter_2.pth', '--work-dir', 'other'),
        ('benchmark', 'child.py', '--num-modules', 2, '--no-time', '--recompute', 'none'),
    ),
}


@pytest.mark.parametrize('kind', MODELS)
def test_every_command_takes_it(kind: str, run: Run, tmp_path: Path, streets: Path) -> None:
    (tmp_path / 'base.py').write_text(CONFIG.format(model=MODELS[kind], data=streets))
    (tmp_path / 'child.py').write_text(CHILD)
    for command in COMMANDS[kind]:
        outcome = run(*command)
        assert outcome.status == 0, (command, outcome.err)
    trained = check_checkpoint(tmp_path / 'run/iter_2.pth')['state_dict']
    exported = torch.load(tmp_path / 'plain/iter_2.pth')['state_dict']
    local = [name for name in trained if name.startswith('local_heads.')]
    assert local and trained.keys() - exported.keys() == {*local}
