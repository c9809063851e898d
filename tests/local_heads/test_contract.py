"""What every local head of this package does, wherever it stands."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_infopro.backbones import FeatureShape
from mmseg_infopro.local_heads import build_local_heads, head_losses, loss_weights
from mmseg_infopro.upstream import FakeTensorMode
from tests.models import NUM_CLASSES, border_at

HEADS = {
    'BottleneckHead': dict(channels=8, dropout_ratio=0),
    'FeatureReconstructionHead': {},
    'FittedReconstructionHead': dict(channels=8),
    'FittedTaskHead': dict(channels=8, dropout_ratio=0),
    'LinearHead': {},
    'MLPHead': {},
    'PixelContrastHead': dict(num_samples=64),
    'ReconstructionHead': dict(channels=8),
    'SimilarityHead': dict(num_samples=64),
}
ONE = (FeatureShape(8, 4.0),)
BRANCHES = (FeatureShape(4, 4.0), FeatureShape(8, 8.0), FeatureShape(16, 16.0))
SIZE = 64
KINDS = pytest.mark.parametrize('kind', HEADS)
BORDERS = pytest.mark.parametrize('border', [ONE, BRANCHES], ids=['one map', 'branches'])


def build(kind, border=ONE, position=0.0, **settings):
    torch.manual_seed(0)
    defaults = dict(num_classes=NUM_CLASSES, norm_cfg=dict(type='BN'), align_corners=False)
    defaults |= dict(image_mean=[0.0] * 3, image_std=[255.0] * 3)
    cfg = dict(type=kind, **HEADS[kind], **settings)
    where = border_at(border, position=position, entry=BRANCHES)
    return build_local_heads([cfg], where, defaults)[0]


def given(border=ONE, ignored=5):
    """The border's features, samples whose upper rows are ignored, the image, the entry."""
    labels = torch.randint(0, NUM_CLASSES, (2, 1, SIZE, SIZE))
    labels[:, :, :ignored] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    features, entry = ([_map(shape) for shape in shapes] for shapes in (border, BRANCHES))
    return [x.requires_grad_() for x in features], samples, torch.rand(2, 3, SIZE, SIZE), entry


def _map(shape):
    size = int(SIZE // shape.stride)
    return torch.randn(2, shape.channels, size, size)


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


@KINDS
@BORDERS
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_all_branches_and_parameters_get_finite_gradients(kind, border, dtype):
    head, (features, *rest) = build(kind, border), given(border)
    with torch.autocast('cpu', dtype=dtype, enabled=dtype is not torch.float32):
        losses = head_losses(head, features, *rest)
    assert all(v.dtype is torch.float32 for name, v in losses.items() if 'loss' in name)
    total(losses).backward()
    for tensor in (*features, *head.parameters()):
        assert tensor.grad.isfinite().all()
    assert all(feature.grad.abs().sum() > 0 for feature in features)


@KINDS
@BORDERS
def test_nothing_depends_on_values(kind, border):
    """A plan measures heads on fake tensors, which have none."""
    with FakeTensorMode():
        losses = head_losses(build(kind, border), *given(border))
        total(losses).backward()
    assert total(losses).shape == ()


@KINDS
def test_a_batch_of_ignored_pixels_gives_finite_losses_and_gradients(kind):
    head, (features, *rest) = build(kind), given(ignored=SIZE)
    loss = total(head_losses(head, features, *rest))
    loss.backward()
    assert loss.isfinite()
    assert features[0].grad.isfinite().all()


@KINDS
def test_the_weight_is_interpolated_over_the_modules_and_scales_all_losses(kind):
    weight = dict(loss_weight=(1.0, 4.0))
    if kind in ('BottleneckHead', 'FittedTaskHead', 'LinearHead', 'MLPHead'):
        weight = dict(loss_decode=dict(type='CrossEntropyLoss', **weight))
    features, *rest = given()
    found = []
    for position in (0.0, 1 / 3):
        head = build(kind, position=position, **weight)
        torch.manual_seed(1)  # of the sampling
        found.append(total(head_losses(head, features, *rest)))
        assert list(loss_weights(head).values()) == [1 + 3 * position]
    torch.testing.assert_close(found[1], 2 * found[0])
