"""Chunked losses against mmseg's own, which sees the whole batch at once."""

import pickle

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from mmseg.models import decode_heads
from mmseg.registry import MODELS
from mmseg.structures import OHEMPixelSampler, SegDataSample
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from mmseg_infopro.local_heads import ChunkedLoss
from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.measure.fake import UpperBounds

NUM_CLASSES = 4
ONE = dict(in_channels=8, in_index=0)
FOUR = dict(in_channels=[8, 8, 8, 8], in_index=[0, 1, 2, 3])
HEADS = {
    'ANNHead': dict(
        in_channels=[8, 8],
        in_index=[0, 1],
        project_channels=4,
        query_scales=(1,),
        dropout_ratio=0.1,  # it cannot do without
    ),
    'APCHead': dict(ONE, pool_scales=(1, 2)),
    'ASPPHead': dict(ONE, dilations=(1, 2)),
    'DAHead': dict(ONE, pam_channels=4),
    'DMHead': dict(ONE, filter_sizes=(1, 3)),
    'DNLHead': ONE,
    'DepthwiseSeparableASPPHead': dict(ONE, dilations=(1, 2), c1_in_channels=0, c1_channels=0),
    'DepthwiseSeparableFCNHead': dict(ONE, num_convs=1),
    'EMAHead': dict(ONE, ema_channels=8, num_bases=4, num_stages=1),
    'EncHead': dict(
        in_channels=[8],
        in_index=[0],
        num_codes=4,
        loss_se_decode=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=0.2),
    ),
    'FCNHead': dict(ONE, num_convs=1),
    'FPNHead': dict(FOUR, feature_strides=[4, 4, 4, 4]),
    'GCHead': ONE,
    'ISAHead': dict(ONE, isa_channels=4),
    'LRASPPHead': dict(
        in_channels=(8, 8, 8),
        in_index=(0, 1, 2),
        branch_channels=(4, 4),
        input_transform='multiple_select',
    ),
    'NLHead': ONE,
    'OCRHead': dict(ONE, ocr_channels=4),
    'PSPHead': dict(ONE, pool_scales=(1, 2)),
    'STDCHead': dict(ONE, num_convs=1),
    'SegformerHead': FOUR,
    'UPerHead': dict(FOUR, pool_scales=(1, 2)),
}
CROSS_ENTROPY = dict(type='CrossEntropyLoss')
CLASS_WEIGHT = [0.5, 2.0, 1.0, 3.0]
OPTIONS = {
    'default': CROSS_ENTROPY,
    'loss_weight': dict(CROSS_ENTROPY, loss_weight=0.4),
    'class_weight': dict(CROSS_ENTROPY, class_weight=CLASS_WEIGHT),
    'avg_non_ignore': dict(CROSS_ENTROPY, avg_non_ignore=True),
    'sum': dict(CROSS_ENTROPY, reduction='sum', class_weight=CLASS_WEIGHT),
    'two names': [CROSS_ENTROPY, dict(CROSS_ENTROPY, loss_name='loss_other', loss_weight=2.0)],
    'one name': [CROSS_ENTROPY, dict(CROSS_ENTROPY, class_weight=CLASS_WEIGHT)],
}


class OtherSampler(OHEMPixelSampler):
    """Might choose by anything."""


def samples(batch_size=3, size=(17, 30), ignored=255, all_ignored=False):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, NUM_CLASSES, (batch_size, 1, *size), generator=generator)
    labels[:, :, :4] = ignored
    if all_ignored:
        labels[:] = ignored
    return [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]


def build(kind, **settings):
    torch.manual_seed(0)
    defaults = dict(channels=8, num_classes=NUM_CLASSES, dropout_ratio=0, norm_cfg=dict(type='BN'))
    return MODELS.build({'type': kind, **defaults, **settings})


def losses_and_gradient(kind, logits, data_samples, **settings):
    head = build(kind, **ONE, num_convs=0, concat_input=False, **settings)
    logits = logits.clone().requires_grad_()
    losses = head.loss_by_feat(logits, data_samples)
    (gradient,) = torch.autograd.grad(
        sum(value for name, value in losses.items() if 'loss' in name), logits
    )
    return {name: value.detach() for name, value in losses.items()}, gradient


def assert_as_mmseg(logits, data_samples, atol=1e-10, **settings):
    expected = losses_and_gradient('FCNHead', logits, data_samples, **settings)
    actual = losses_and_gradient('ChunkedFCNHead', logits, data_samples, **settings)
    assert list(actual[0]) == list(expected[0])
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=atol)


def double_logits(size=(5, 7)):
    torch.manual_seed(0)
    return torch.randn(3, NUM_CLASSES, *size, dtype=torch.double)


def step(kind, settings):
    """One head's losses and all of its gradients."""
    head = build(kind, **settings).double()
    shape = (3, 8, 49, 49) if 'LRASPP' in kind else (3, 8, 8, 8)  # its pooling has a fixed size
    features = [torch.randn(shape, dtype=torch.double, requires_grad=True) for _ in range(4)]
    previous = [torch.randn(3, NUM_CLASSES, 8, 8, dtype=torch.double)] if 'OCR' in kind else []
    losses = head.loss(features, *previous, samples(size=(20, 24)), {})
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    tensors = [*features, *head.parameters()]
    return losses, [tensor.grad for tensor in tensors], list(head.state_dict())


@pytest.mark.parametrize('kind', HEADS)
def test_a_chunked_head_trains_as_its_parent(kind):
    expected, actual = step(kind, HEADS[kind]), step(f'Chunked{kind}', HEADS[kind])
    torch.testing.assert_close(actual[:2], expected[:2], rtol=1e-6, atol=1e-10)
    assert actual[2] == expected[2]


@pytest.mark.parametrize('name', OPTIONS)
@pytest.mark.parametrize('align_corners', [False, True])
def test_the_options_of_cross_entropy_mean_what_they_mean_in_mmseg(name, align_corners):
    assert_as_mmseg(
        double_logits(), samples(), loss_decode=OPTIONS[name], align_corners=align_corners
    )


def test_single_precision_too():
    assert_as_mmseg(double_logits().float(), samples(), atol=1e-8)


def test_another_ignore_index():
    assert_as_mmseg(double_logits(), samples(ignored=2), ignore_index=2)


@pytest.mark.parametrize(
    'sampler',
    [
        dict(thresh=0.3, min_kept=2),  # the threshold decides
        dict(thresh=0.01, min_kept=50),  # the number
        dict(thresh=0.7, min_kept=100_000),  # more than there are
        dict(min_kept=50),
        dict(min_kept=100_000),
    ],
)
@pytest.mark.parametrize('name', OPTIONS)
def test_hard_pixels_are_those_of_mmseg(sampler, name):
    settings = dict(loss_decode=OPTIONS[name], sampler=dict(type='OHEMPixelSampler', **sampler))
    assert_as_mmseg(double_logits(), samples(), **settings)
    if name in ('default', 'loss_weight'):
        assert_as_mmseg(double_logits().float(), samples(), atol=1e-8, **settings)


@pytest.mark.parametrize('sampler', [dict(thresh=0.7, min_kept=9), dict(min_kept=9)])
def test_a_batch_without_any_pixel_to_mine(sampler):
    sampler = dict(type='OHEMPixelSampler', **sampler)
    assert_as_mmseg(double_logits(), samples(all_ignored=True), sampler=sampler)


@pytest.mark.parametrize('size', [(17, 30), (40, 31)])
def test_logits_as_large_as_the_labels_or_larger(size):
    assert_as_mmseg(double_logits(size), samples())


@pytest.mark.parametrize('name', ['default', 'class_weight', 'avg_non_ignore'])
def test_a_batch_of_ignored_pixels_only(name):
    assert_as_mmseg(double_logits(), samples(all_ignored=True), loss_decode=OPTIONS[name])


def test_class_weights_over_the_pixels_that_count_as_in_torch():
    settings = dict(loss_decode=dict(CROSS_ENTROPY, class_weight=CLASS_WEIGHT, avg_non_ignore=True))
    logits = double_logits().requires_grad_()
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples()])
    expected = F.cross_entropy(
        F.interpolate(logits, labels.shape[1:], mode='bilinear'),
        labels,
        logits.new_tensor(CLASS_WEIGHT),
        ignore_index=255,
    )
    (gradient,) = torch.autograd.grad(expected, logits)
    losses, actual = losses_and_gradient('ChunkedFCNHead', logits.detach(), samples(), **settings)
    torch.testing.assert_close((losses['loss_ce'], actual), (expected.detach(), gradient))
    with pytest.raises(IndexError):  # mmseg's own
        losses_and_gradient('FCNHead', logits.detach(), samples(), **settings)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_logits_under_autocast(dtype):
    logits = double_logits().to(dtype)
    with torch.autocast('cpu', dtype=dtype):
        expected, gradient = losses_and_gradient('FCNHead', logits, samples())
        actual, chunked = losses_and_gradient('ChunkedFCNHead', logits, samples())
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)
    assert chunked.dtype is dtype
    torch.testing.assert_close(chunked, gradient, rtol=0.05, atol=1e-5)


def test_a_scaled_loss_keeps_the_gradients_that_half_precision_cannot_hold():
    """What a loss scaler is for: the gradient for one of 2**24 pixels, unscaled, would be 0."""
    scale, weight = 2.0**24, 2.0**-24
    logits = double_logits().half().requires_grad_()
    head = build('ChunkedFCNHead', **ONE, loss_decode=dict(CROSS_ENTROPY, loss_weight=weight))
    (scale * head.loss_by_feat(logits, samples())['loss_ce']).backward()
    _, expected = losses_and_gradient('FCNHead', logits.detach().double(), samples())
    torch.testing.assert_close(logits.grad.double(), expected, rtol=0.01, atol=1e-6)


@pytest.mark.parametrize('use_reentrant', [False, True])
def test_under_gradient_checkpointing(use_reentrant):
    head = build('ChunkedFCNHead', **ONE, num_convs=0, concat_input=False)
    logits = double_logits().requires_grad_()
    data_samples = samples()
    loss = checkpoint(
        lambda x: head.loss_by_feat(x, data_samples)['loss_ce'],
        logits,
        use_reentrant=use_reentrant,
    )
    loss.backward()
    _, expected = losses_and_gradient('FCNHead', logits.detach(), samples())
    torch.testing.assert_close(logits.grad, expected)


def test_without_gradients_only_the_loss_is_computed():
    head = build('ChunkedFCNHead', **ONE)
    with torch.no_grad():
        assert not head.loss_by_feat(double_logits(), samples())['loss_ce'].requires_grad


@pytest.mark.parametrize(
    ('settings', 'name'),
    [
        (dict(loss_decode=dict(type='LovaszLoss', reduction='none')), 'LovaszLoss'),
        (dict(loss_decode=[CROSS_ENTROPY, dict(type='DiceLoss')]), 'DiceLoss'),
        (dict(loss_decode=dict(CROSS_ENTROPY, reduction='none')), "reduction='none'"),
        (dict(sampler=dict(type=OtherSampler, min_kept=10)), 'sampler OtherSampler'),
        (
            dict(
                out_channels=1,
                num_classes=2,
                threshold=0.3,
                loss_decode=dict(CROSS_ENTROPY, use_sigmoid=True),
            ),
            'CrossEntropyLoss with use_sigmoid',
        ),
    ],
)
def test_what_needs_the_whole_batch_falls_back_to_mmseg_and_says_so(settings, name, monkeypatch):
    messages = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', messages.append)
    torch.manual_seed(0)
    logits = torch.randn(3, settings.get('out_channels', NUM_CLASSES), 5, 7)
    data_samples = samples()
    for sample in data_samples:
        label = sample.gt_sem_seg.data
        label[label < 255] %= settings.get('num_classes', NUM_CLASSES)
    heads = [
        build(kind, **{**ONE, **settings}, num_convs=0, concat_input=False)
        for kind in ('FCNHead', 'ChunkedFCNHead')
    ]
    expected, actual = (head.loss_by_feat(logits, data_samples) for head in heads)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    assert len(messages) == 1
    assert name in messages[0]


@pytest.mark.parametrize('sampler', [None, dict(type='OHEMPixelSampler', thresh=0.7, min_kept=9)])
def test_chunks_need_a_fraction_of_the_memory(sampler):
    def peak(kind):
        with FakeTensorMode(), UpperBounds():
            head = build(kind, **ONE, num_convs=0, concat_input=False, sampler=sampler)
            logits = torch.randn(8, NUM_CLASSES, 32, 32, requires_grad=True)
            data_samples = samples(8, (256, 256))
            return peak_beyond(
                lambda: head.loss_by_feat(logits, data_samples)['loss_ce'].backward()
            )

    assert peak('ChunkedFCNHead') < 0.4 * peak('FCNHead')


@pytest.mark.parametrize('sampler', [None, dict(thresh=0.7, min_kept=9), dict(min_kept=9)])
def test_nothing_depends_on_values(sampler):
    """A dry step needs no upper bounds."""
    sampler = sampler and dict(type='OHEMPixelSampler', **sampler)
    with FakeTensorMode():
        head = build('ChunkedFCNHead', **ONE, loss_decode=OPTIONS['class_weight'], sampler=sampler)
        losses = head.loss([torch.randn(2, 8, 4, 4)], samples(2), {})
        losses['loss_ce'].backward()
        assert losses['acc_seg'].shape == (1,)


def test_heads_with_losses_of_their_own_have_no_chunked_twin():
    chunked = {name for name in decode_heads.__all__ if f'Chunked{name}' in MODELS.module_dict}
    assert set(decode_heads.__all__) - chunked == {
        'IterativeDecodeHead',
        'KernelUpdateHead',
        'KernelUpdator',
        'Mask2FormerHead',
        'MaskFormerHead',
        'PointHead',
        'SideAdapterCLIPHead',
        'VPDDepthHead',
    }
    assert set(HEADS) <= chunked


def test_a_chunked_head_can_be_pickled():
    head = pickle.loads(pickle.dumps(build('ChunkedFCNHead', **ONE)))
    assert isinstance(head, ChunkedLoss)
