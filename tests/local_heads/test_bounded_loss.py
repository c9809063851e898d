"""Steps are planned on tensors without values whatever the losses look at."""

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from mmseg_infopro.local_heads.bounded_loss import BoundedLoss, bound_losses
from mmseg_infopro.measure.dry_step import dry_step
from mmseg_infopro.planning.batch import StepShape, training_batch
from tests.models import model_config

SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))


class Own(nn.Module):
    loss_name = 'loss_own'
    loss_weight = 2.0


@MODELS.register_module()
class EachClass(Own):
    """Loops over the classes that are present."""

    def forward(self, logits, label, **_):
        total = logits.sum() * 0
        for index in label.unique():
            if index == 255:
                continue
            mask = label == index
            if mask.sum() == 0 or not mask.any():
                continue
            total = total + logits.mean(dim=1)[mask].square().mean()
        return total


@MODELS.register_module()
class UnlessEmpty(Own):
    """Returns early where nothing is labelled."""

    def forward(self, logits, label, **_):
        valid = label != 255
        if (~valid).all() or not valid.any() or valid.sum() < 1:
            return logits.new_zeros(())
        return logits.permute(0, 2, 3, 1)[valid].square().mean()


@MODELS.register_module()
class InNumpy(Own):
    """Leaves torch."""

    def forward(self, logits, label, **_):
        weight = torch.from_numpy(label.cpu().numpy() / 2)
        return (logits.mean(dim=1) * weight).square().mean()


@MODELS.register_module()
class Broken(Own):
    def forward(self, logits, label, **_):
        return logits @ label


LOSSES = {
    'lovasz of those present': dict(type='LovaszLoss', reduction='none'),
    'lovasz by image': dict(type='LovaszLoss', per_image=True, reduction='mean'),
    'lovasz of all': dict(type='LovaszLoss', classes='all', reduction='none'),
    'dice': dict(type='DiceLoss'),
    'tversky': dict(type='TverskyLoss'),
    'focal': dict(type='FocalLoss'),
    'distances': dict(type='HuasdorffDisstanceLoss'),
    'sigmoid': dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True),
    'weighted': dict(type='CrossEntropyLoss', class_weight=[1.0] * 5),
    'each class': dict(type='EachClass'),
    'unless empty': dict(type='UnlessEmpty'),
    'numpy': dict(type='InNumpy'),
}
BOUNDED = ('focal', 'distances', 'numpy')


def peak(**decode_head):
    cfg = model_config()
    cfg['decode_head'].update(decode_head)
    model = MODELS.build(cfg)
    bound_losses(model)
    batch = lambda: training_batch(StepShape(2, (64, 64)))  # noqa: E731
    return model, dry_step(model, SGD, batch).peak.total


@pytest.mark.parametrize('name', LOSSES)
def test_a_step_is_planned_with_every_loss(name):
    model, total = peak(loss_decode=LOSSES[name])
    assert isinstance(model.decode_head.loss_decode, BoundedLoss) is (name in BOUNDED)
    assert total > 1e6


@pytest.mark.parametrize('sampler', [dict(thresh=0.7, min_kept=100), dict(min_kept=100)])
def test_hard_pixels_are_planned_for(sampler):
    assert peak(sampler=dict(type='OHEMPixelSampler', **sampler))[1] > 1e6


def test_a_loss_that_fails_anyway_says_so():
    with pytest.raises(RuntimeError):
        peak(loss_decode=dict(type='Broken'))


def test_several_losses_are_bounded_one_by_one():
    losses = [dict(type='CrossEntropyLoss'), dict(type='InNumpy')]
    model, _ = peak(loss_decode=losses)
    kinds = [type(loss).__name__ for loss in model.decode_head.loss_decode]
    assert kinds == ['CrossEntropyLoss', 'BoundedLoss']
    assert model.decode_head.loss_decode[1].loss_weight == 2.0
