"""The reconstruction of a module's input features against plain torch."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import nn

from mmseg_infopro.backbones import FeatureShape
from tests.models import BN, GN, border_at


def head(in_channels, entry, **settings):
    torch.manual_seed(0)
    border = border_at((), entry=[FeatureShape(channels, 1.0) for channels in entry])
    cfg = dict(type='FeatureReconstructionHead', norm_cfg=BN, in_channels=in_channels)
    return MODELS.build({**cfg, 'border': border, **settings})


@pytest.mark.parametrize(
    ('border', 'entry'),
    [
        ([(8, 6, 10)], [(4, 6, 10)]),
        ([(8, 6, 10)], [(3, 24, 40)]),
        ([(8, 6, 10), (4, 3, 5)], [(4, 12, 20), (5, 6, 10), (6, 3, 5)]),
    ],
    ids=['same size', 'the image', 'branches'],
)
def test_loss_and_gradients_are_those_of_the_formula(border, entry):
    module = head([c for c, _, _ in border], [c for c, _, _ in entry])
    features = [torch.randn(2, *size, requires_grad=True) for size in border]
    given = [torch.randn(2, *size, requires_grad=True) for size in entry]
    loss = module.loss(features, [], {}, given)['loss_feature']

    norm, reduce, _, expand = module.decode
    x = torch.cat([F.interpolate(x, (6, 10), mode='bilinear') for x in features], 1)
    x = F.batch_norm(x, None, None, norm.weight, norm.bias, True)
    x = F.gelu(F.conv2d(x, reduce.weight, reduce.bias))
    rebuilt = F.conv2d(x, expand.weight, expand.bias)
    target = []
    for x in given:
        ratio = x.shape[2] // 6
        if ratio:
            target.append(F.avg_pool2d(x, ratio))
        else:  # coarser than what is rebuilt
            target.append(x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    expected = 10 * F.mse_loss(rebuilt, torch.cat(target, 1).detach())
    leaves = [*features, *module.parameters()]
    gradients = torch.autograd.grad(loss, [*leaves, *given], allow_unused=True)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients[: len(leaves)], torch.autograd.grad(expected, leaves))
    assert gradients[len(leaves) :] == (None,) * len(given)


def test_the_decoder_has_a_quarter_of_the_channels():
    shapes = [tuple(layer.weight.shape) for layer in head(64, [24]).decode if
              isinstance(layer, nn.Conv2d)]  # fmt: skip
    assert shapes == [(16, 64, 1, 1), (24, 16, 1, 1)]


@pytest.mark.parametrize(('norm', 'kind'), [(GN, nn.GroupNorm), (None, nn.Identity)])
def test_its_norm_is_the_models(norm, kind):
    assert isinstance(head(9, [3], norm_cfg=norm).decode[0], kind)
