"""The image-reconstruction head against the paper's decoder written out by hand."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_infopro.measure.dry_step import peak_beyond

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def head(stride=8, in_channels=16, **settings):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='ReconstructionHead',
            in_channels=in_channels,
            stride=stride,
            image_mean=MEAN,
            image_std=STD,
            **settings,
        )
    )


def test_the_default_at_stride_8_is_the_papers_decoder():
    module = head(in_channels=1024, norm_cfg=dict(type='BN'))
    shapes = [tuple(p.shape) for name, p in module.named_parameters() if 'conv.weight' in name]
    assert shapes == [(128, 1024, 1, 1), (32, 128, 3, 3), (12, 32, 3, 3)]
    assert tuple(module.predict_image.weight.shape) == (3, 12, 3, 3)


def test_the_loss_is_bce_against_the_image_in_zero_to_one():
    module = head()
    pixels = torch.randint(0, 256, (2, 3, 64, 96)).float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    feature = torch.randn(2, 16, 8, 12)
    loss = module.loss([feature], [], {}, (pixels - mean) / std)['loss_rec']

    x = F.relu(module.reduce.conv(feature))
    for step in (*(step.conv for step in module.steps), module.predict_image):
        x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        x = step(x) if step is module.predict_image else F.relu(step(x))
    expected = F.binary_cross_entropy(x.sigmoid(), pixels / 255)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('stride', 'num_convs'), [(1, 1), (2, 1), (4, 2), (8, 3), (16, 4), (32, 5)]
)
def test_upsampling_is_derived_from_the_stride(stride, num_convs):
    module = head(stride=stride)
    assert len(module.steps) + 1 == num_convs
    size = (64, 96)
    feature = torch.randn(1, 16, size[0] // stride, size[1] // stride)
    assert module([feature], size).shape == (1, 3, *size)


def test_an_odd_crop_is_rebuilt_at_its_own_size():
    assert head()([torch.randn(1, 16, 97, 97)], (769, 769)).shape == (1, 3, 769, 769)


def test_downscale_rebuilds_a_smaller_image():
    module = head(downscale=2)
    image = torch.randn(2, 3, 64, 96)
    assert module.target(image).shape == (2, 3, 32, 48)
    assert len(module.steps) + 1 == 2
    assert module.reconstruct([torch.randn(2, 16, 8, 12)], (64, 96)).shape == (2, 3, 32, 48)


def test_the_weight_scales_the_loss():
    feature, image = torch.randn(1, 16, 4, 4), torch.randn(1, 3, 32, 32)
    one, two = (
        head(loss_weight=weight).loss([feature], [], {}, image)['loss_rec'] for weight in (1.0, 2.0)
    )
    torch.testing.assert_close(two, 2 * one)


def plain_loss(module, feature, image):
    """The whole batch at once, with everything kept that autograd keeps."""
    x = module.reduce(feature)
    for step in module.steps:
        x = step(F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    target = ((image * std + mean) / 255).clamp(0, 1)
    if module.downscale > 1:
        target = F.avg_pool2d(target, module.downscale, ceil_mode=True)
    x = F.interpolate(x, target.shape[2:], mode='bilinear', align_corners=False)
    return F.binary_cross_entropy_with_logits(module.predict_image(x).float(), target)


def step(formula, autocast=False, downscale=1):
    """The loss, all gradients, and the running statistics after it."""
    module = head(norm_cfg=dict(type='BN'), downscale=downscale)
    feature = torch.randn(3, 16, 8, 12, requires_grad=True)
    image = torch.randn(3, 3, 61, 96)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        loss = formula(module, feature, image)
    loss.backward()
    gradients = [feature.grad, *(parameter.grad for parameter in module.parameters())]
    return loss, gradients, list(module.buffers())


def chunked_loss(module, feature, image):
    return module.loss([feature], [], {}, image)['loss_rec']


@pytest.mark.parametrize('downscale', [1, 2, 4, 8])
def test_sample_by_sample_nothing_changes(downscale):
    """Not even batch norm, which a repeated forward pass would count twice."""
    expected, actual = (
        step(plain_loss, downscale=downscale),
        step(chunked_loss, downscale=downscale),
    )
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-8)


def test_sample_by_sample_nothing_changes_under_autocast():
    loss, gradients, _ = step(chunked_loss, autocast=True)
    expected_loss, expected, _ = step(plain_loss, autocast=True)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-4, atol=0)
    for ours, plain in zip(gradients, expected, strict=True):
        assert (ours - plain).norm() <= 0.02 * plain.norm()


def test_sample_by_sample_takes_half_the_memory():
    def peak(formula):
        with FakeTensorMode():
            module = head(in_channels=128, norm_cfg=dict(type='BN'))
            feature, image = torch.randn(4, 128, 16, 16), torch.randn(4, 3, 128, 128)
            return peak_beyond(lambda: formula(module, feature, image).backward())

    assert peak(chunked_loss) < 0.5 * peak(plain_loss)


def test_mean_and_std_must_match():
    with pytest.raises(ValueError, match='one value per image channel, got 3 and 2'):
        MODELS.build(
            dict(
                type='ReconstructionHead',
                in_channels=4,
                stride=8,
                image_mean=MEAN,
                image_std=[1.0, 1.0],
            )
        )


def test_a_group_norm_of_the_model_fits_every_width():
    norm = dict(type='GN', num_groups=32, requires_grad=True)
    settings = dict(image_mean=[0.0] * 3, image_std=[1.0] * 3, norm_cfg=norm)
    head = MODELS.build(dict(type='ReconstructionHead', in_channels=64, stride=8, **settings))
    groups = [m.num_groups for m in head.modules() if isinstance(m, torch.nn.GroupNorm)]
    assert groups == [32, 32, 4]
