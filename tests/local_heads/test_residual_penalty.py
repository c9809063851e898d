"""TRGL's penalty against its formula."""

import pytest
import torch
from mmseg.registry import MODELS

from tests.backbones import test_hrnet
from tests.backbones.test_resnet import tiny
from tests.models import border_at


def penalty(position=1.0, backbone=None, **settings):
    backbone = MODELS.build(backbone or tiny('InfoProResNet'))
    border = border_at((), position=position, backbone=backbone)
    return MODELS.build(dict(type='ResidualPenalty', border=border, **settings))


@pytest.mark.parametrize(
    ('position', 'tau'), [(0, 2.0), (1 / 3, 2.0), (0.5, 2.0), (2 / 3, 4.0), (1, 4.0)]
)
def test_it_is_the_formula_with_half_the_tau_in_the_first_half(position, tau):
    residuals = torch.tensor([0.5, 2.0, 3.0], requires_grad=True)
    head = penalty(position, tau=4.0, loss_weight=3.0)
    loss = head.loss([], [], {}, list(residuals))['loss_residual']
    torch.testing.assert_close(loss, 3 * residuals.sum() / (2 * tau))
    (gradient,) = torch.autograd.grad(loss, residuals)
    torch.testing.assert_close(gradient, torch.full((3,), 3 / (2 * tau)))


def test_a_module_without_branches_has_none():
    assert penalty(tau=1.0).loss([torch.zeros(1)], [], {}, []) == {'loss_residual': 0}


@pytest.mark.parametrize('tau', [0, -1.0])
def test_tau_is_positive(tau):
    with pytest.raises(ValueError, match=f'tau must be positive, got {tau}'):
        penalty(tau=tau)


def test_a_backbone_without_named_branches_is_refused():
    message = r'units of InfoProHRNet do not name their residual branches; valid: InfoProBEiT, '
    with pytest.raises(ValueError, match=message):
        penalty(backbone=test_hrnet.TestHRNet.backbone, tau=1.0)
