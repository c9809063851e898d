"""DGL's perceptron of pixels against plain torch."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from tests.local_heads.by_hand import cross_entropy, samples


def head(in_channels=8, in_index=0, **settings):
    torch.manual_seed(0)
    defaults = dict(type='MLPHead', num_classes=5, norm_cfg=dict(type='BN'))
    return MODELS.build({**defaults, **settings, 'in_channels': in_channels, 'in_index': in_index})


def pooled_by_hand(x):
    """Means over windows that reach from floor(i * H / n) to ceil((i + 1) * H / n)."""
    for dim in (2, 3):
        size = x.shape[dim]
        n = -(-size // 4)
        spans = [(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        x = torch.stack([x.narrow(dim, a, b - a).mean(dim) for a, b in spans], dim)
    return x


@pytest.mark.parametrize('size', [(8, 12), (9, 14)])
@pytest.mark.parametrize('branches', [1, 2])
def test_loss_and_gradients_are_those_of_the_formula(size, branches):
    features = [torch.randn(2, 8, *size, requires_grad=True)]
    module = head()
    if branches == 2:
        module = head([8, 4], [0, 1], input_transform='resize_concat')
        features.append(torch.randn(2, 4, 4, 5, requires_grad=True))
    data_samples = samples((32, 48))
    loss = module.loss(features, data_samples, {})['loss_ce']

    x = torch.cat([F.interpolate(x, size, mode='bilinear') for x in features], 1)
    x = pooled_by_hand(x)
    for layer in module.layers:
        x = F.conv2d(x, layer.conv.weight)
        x = F.relu(F.batch_norm(x, None, None, layer.norm.weight, layer.norm.bias, True))
    logits = F.conv2d(x, module.conv_seg.weight, module.conv_seg.bias)
    expected = cross_entropy(logits, data_samples)
    leaves = [*features, *module.parameters()]
    gradients = torch.autograd.grad(loss, leaves)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, leaves))


@pytest.mark.parametrize(('channels', 'width'), [(None, 12), (16, 16)])
def test_its_three_layers_are_as_wide_as_the_border_or_as_asked(channels, width):
    module = head([8, 4], [0, 1], input_transform='resize_concat', channels=channels)
    shapes = [tuple(layer.conv.weight.shape[:2]) for layer in module.layers]
    assert shapes == [(width, 12), (width, width), (width, width)]
