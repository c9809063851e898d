"""Local heads train for the task of the decode head's own loss, in its own terms."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_infopro.backbones import FeatureShape
from mmseg_infopro.local_heads import build_local_heads
from mmseg_infopro.local_heads.defaults import SHARED
from mmseg_infopro.local_heads.task_loss import losses_of, task_loss
from tests.models import border_at, build, model_config

CE = 'CrossEntropyLoss'
WEIGHTS = [0.5, 1.0, 2.0]


@MODELS.register_module()
class ForeignLoss(nn.Module):
    """What no local head can know of."""

    loss_name = 'loss_foreign'
    loss_weight = 1.0

    def forward(self, logits, label, **_):
        return logits.square().mean()


def decode_head(*losses, num_classes=3, out_channels=None, **settings):
    size = dict(num_classes=num_classes, out_channels=out_channels)
    cfg = dict(type='FCNHead', in_channels=8, channels=8, num_convs=0, concat_input=False)
    several = losses[0] if len(losses) == 1 else list(losses)
    return MODELS.build({**cfg, **size, 'loss_decode': several, 'in_index': 0, **settings})


def local_head(theirs, **cfg):
    defaults = {name: getattr(theirs, name) for name in SHARED if hasattr(theirs, name)}
    defaults |= dict(task_loss=task_loss(theirs))
    cfg = dict(dict(type='FCNHead', num_convs=0, concat_input=False, channels=8), **cfg)
    return build_local_heads([cfg], border_at((FeatureShape(8, 1.0),)), defaults)[0]


BINARY = dict(num_classes=2, out_channels=1)
TAKEN = {
    'softmax': ([dict(type=CE)], {}, dict(use_sigmoid=False, class_weight=None)),
    'one logit': ([dict(type=CE, use_sigmoid=True)], BINARY, dict(use_sigmoid=True)),
    'several logits': ([dict(type=CE, use_sigmoid=True)], {}, dict(use_sigmoid=True)),
    'class weights': ([dict(type=CE, class_weight=WEIGHTS)], {}, dict(class_weight=WEIGHTS)),
    'average': ([dict(type=CE, avg_non_ignore=True)], {}, dict(avg_non_ignore=True)),
    'mask': ([dict(type=CE, use_mask=True)], {}, dict(use_mask=True)),
    'second of two': (
        [dict(type='DiceLoss'), dict(type=CE, use_sigmoid=True)],
        BINARY,
        dict(use_sigmoid=True),
    ),
    'binary without entropy': ([dict(type='DiceLoss')], BINARY, dict(use_sigmoid=True)),
    'weights of another loss': (
        [dict(type='OhemCrossEntropy', class_weight=WEIGHTS)],
        {},
        dict(class_weight=WEIGHTS, use_sigmoid=False),
    ),
}


@pytest.mark.parametrize(('losses', 'sizes', 'expected'), TAKEN.values(), ids=TAKEN)
def test_the_loss_of_a_local_head_is_of_the_decode_heads_task(losses, sizes, expected):
    for own in ({}, dict(loss_decode=dict(type=CE, loss_weight=0.5))):
        (criterion,) = losses_of(local_head(decode_head(*losses, **sizes), **own))
        assert type(criterion).__name__ == CE
        assert {key: getattr(criterion, key) for key in expected} == expected
        assert criterion.loss_weight == (0.5 if own else 1.0)


def test_what_a_local_head_says_itself_stays():
    theirs = decode_head(dict(type=CE, class_weight=WEIGHTS))
    (own,) = losses_of(local_head(theirs, loss_decode=dict(type=CE, class_weight=[1.0] * 3)))
    (other_task,) = losses_of(local_head(theirs, num_classes=7))
    assert own.class_weight == [1.0] * 3
    assert other_task.class_weight is None


def test_a_foreign_loss_is_copied():
    (criterion,) = losses_of(local_head(decode_head(dict(type='ForeignLoss'))))
    assert isinstance(criterion, ForeignLoss)


@pytest.mark.parametrize('kind', ['FCNHead', 'LinearHead', 'MLPHead', 'BottleneckHead'])
def test_the_binary_loss_is_torchs_own(kind):
    cfg = dict(type=kind, dropout_ratio=0)
    if kind == 'FCNHead':
        cfg |= dict(num_convs=0, concat_input=False, channels=8)
    theirs = decode_head(dict(type=CE, use_sigmoid=True), **BINARY)
    defaults = {name: getattr(theirs, name) for name in SHARED}
    defaults |= dict(task_loss=task_loss(theirs))
    head = build_local_heads([cfg], border_at((FeatureShape(8, 1.0),)), defaults)[0]
    label = torch.randint(0, 2, (2, 1, 16, 16))
    label[:, :, :3] = 255
    feature = torch.randn(2, 8, 16, 16)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=each)) for each in label]
    logits = F.interpolate(head([feature]), (16, 16), mode='bilinear')[:, 0]
    expected = F.binary_cross_entropy_with_logits(logits[:, 3:], label[:, 0, 3:].float())
    loss = head.loss([feature], samples, {})['loss_ce']
    torch.testing.assert_close(loss, expected * 13 / 16)  # mmseg divides by all pixels


@pytest.mark.parametrize('own', [{}, dict(loss_decode=dict(type=CE, use_sigmoid=False))])
def test_a_loss_that_is_always_zero_is_refused(own):
    sigmoid = bool(own)
    with pytest.raises(ValueError, match='a softmax over one output channel is always 1'):
        local_head(decode_head(dict(type=CE, use_sigmoid=sigmoid), **BINARY), **own)


@pytest.mark.parametrize('kind', ['PixelContrastHead', 'SimilarityHead'])
def test_heads_that_read_labels_know_both_classes_of_one_logit(kind):
    theirs = decode_head(dict(type=CE, use_sigmoid=True), num_classes=1, threshold=0.5)
    defaults = dict(num_classes=1, out_channels=1, task_loss=task_loss(theirs))
    head = build_local_heads([dict(type=kind)], border_at((FeatureShape(8, 1.0),)), defaults)[0]
    assert head.num_classes == 2


def test_a_whole_model_trains_its_local_heads_by_one_logit():
    loss = dict(type=CE, use_sigmoid=True)
    sizes = dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode=loss)
    task = dict(type='FCNHead', channels=8, num_convs=1, concat_input=False)
    cfg = model_config(local=dict(boundaries=['layer2.0'], heads=[task]))
    for name in ('decode_head', 'auxiliary_head'):
        cfg[name] = {**cfg[name], **sizes}
    (head,) = build(cfg).border_heads(0)
    assert head.conv_seg.out_channels == 1
    assert head.threshold == 0.5
    assert losses_of(head)[0].use_sigmoid
