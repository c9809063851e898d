"""The bottleneck head: its layers, the stride it works at, and what it costs."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_infopro.backbones import FeatureShape
from mmseg_infopro.local_heads import build_local_heads
from mmseg_infopro.measure.dry_step import peak_beyond
from tests.models import border_at

NUM_CLASSES = 5


def head(**settings):
    torch.manual_seed(0)
    defaults = dict(in_channels=16, stride=8, num_classes=NUM_CLASSES, in_index=0, dropout_ratio=0)
    return MODELS.build({'type': 'BottleneckHead', **defaults, **settings})


def samples(size, batch_size=2):
    labels = torch.randint(0, NUM_CLASSES, (batch_size, 1, *size))
    return [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]


def test_it_is_a_bottleneck_of_128_channels():
    shapes = [tuple(p.shape) for name, p in head().named_parameters() if name.endswith('.weight')]
    assert sorted(shapes) == [(5, 128, 1, 1), (128, 16, 1, 1), (128, 128, 3, 3)]


def test_logits_and_loss_are_those_of_its_layers():
    module = head(channels=8, stride=4)
    x, data_samples = torch.randn(2, 16, 8, 12), samples((32, 48))
    losses = module.loss([x], data_samples, {})

    y = F.relu(module.reduce.conv(F.avg_pool2d(x, 2)))
    logits = module.conv_seg(F.relu(module.mix.conv(y)))
    labels = torch.cat([sample.gt_sem_seg.data for sample in data_samples])
    full = F.interpolate(logits, (32, 48), mode='bilinear', align_corners=False)
    torch.testing.assert_close(losses['loss_ce'], F.cross_entropy(full, labels))


@pytest.mark.parametrize(
    ('stride', 'min_stride', 'size'),
    [(1, 8, 8), (2, 8, 8), (4, 8, 8), (8, 8, 8), (16, 8, 4), (4, 16, 4), (4, 1, 16), (3, 8, 8)],
)
def test_it_works_at_min_stride_or_coarser(stride, min_stride, size):
    features = [torch.randn(1, 16, -(-64 // stride), -(-64 // stride))]
    module = head(stride=stride, min_stride=min_stride)
    assert module(features).shape == (1, NUM_CLASSES, size, size)


def test_an_odd_size_keeps_its_last_pixels():
    x = torch.randn(1, 16, 17, 17, requires_grad=True)
    head(stride=4)([x]).sum().backward()
    assert (x.grad.abs().sum(dim=1) > 0).all()


def test_the_border_fills_in_what_it_knows():
    defaults = dict(num_classes=NUM_CLASSES, norm_cfg=dict(type='BN'))
    border = (FeatureShape(8, 4), FeatureShape(16, 8))
    module = build_local_heads([dict(type='BottleneckHead')], border_at(border), defaults)[0]
    assert (module.in_channels, module.channels, module.pool_size) == (24, 128, 2)
    features = [torch.randn(2, 8, 16, 16), torch.randn(2, 16, 8, 8)]
    assert module(features).shape == (2, NUM_CLASSES, 8, 8)


def test_a_finer_border_costs_no_more_than_its_pooled_feature():
    def peak(stride):
        with FakeTensorMode():
            module, data_samples = head(stride=stride), samples((256, 256))
            features = [torch.randn(2, 16, 256 // stride, 256 // stride)]
            return peak_beyond(
                lambda: module.loss(features, data_samples, {})['loss_ce'].backward()
            )

    pooled = 2 * 16 * 32 * 32 * 4
    assert peak(4) - peak(8) <= pooled


@pytest.mark.parametrize('name', ['stride', 'min_stride'])
def test_strides_must_be_positive(name):
    with pytest.raises(ValueError, match=f'{name} must be positive, got 0'):
        head(**{name: 0})
