"""The linear head against plain torch."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from tests.local_heads.by_hand import cross_entropy, samples

NUM_CLASSES = 5


def head(**settings):
    torch.manual_seed(0)
    defaults = dict(type='LinearHead', num_classes=NUM_CLASSES, in_index=0)
    return MODELS.build({**defaults, **settings})


def test_it_is_one_convolution():
    assert {n: tuple(p.shape) for n, p in head(in_channels=16).named_parameters()} == {
        'conv_seg.weight': (NUM_CLASSES, 16, 1, 1), 'conv_seg.bias': (NUM_CLASSES,)
    }  # fmt: skip


@pytest.mark.parametrize('sizes', [[(8, 8, 12)], [(8, 8, 12), (4, 4, 6)]], ids=['one', 'branches'])
def test_loss_and_gradients_are_those_of_the_formula(sizes):
    several = dict(
        in_channels=[c for c, _, _ in sizes],
        in_index=list(range(len(sizes))),
        input_transform='resize_concat',
    )
    module = head(**(several if len(sizes) > 1 else dict(in_channels=8)))
    features = [torch.randn(2, *size, requires_grad=True) for size in sizes]
    data_samples = samples((32, 48))
    loss = module.loss(features, data_samples, {})['loss_ce']

    resized = [F.interpolate(x, (8, 12), mode='bilinear') for x in features]
    weight, bias = module.conv_seg.weight, module.conv_seg.bias
    logits = torch.einsum('bchw,kc->bkhw', torch.cat(resized, 1), weight[:, :, 0, 0])
    expected = cross_entropy(logits + bias.view(-1, 1, 1), data_samples)
    leaves = [*features, weight, bias]
    actual_gradients = torch.autograd.grad(loss, leaves)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(actual_gradients, torch.autograd.grad(expected, leaves))


def test_it_has_no_other_channels_than_its_inputs():
    with pytest.raises(ValueError, match='channels of a LinearHead must be 8 there, got 4'):
        head(in_channels=8, channels=4)
