"""The loss at the logits' own stride is mmseg's of all pixels with logits that are repeated."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.structures import SegDataSample

from mmseg_infopro.local_heads import FittedTaskHead
from mmseg_infopro.local_heads.reduced_labels import label_counts

WEIGHTS = [0.5, 1.0, 2.0, 0.25, 3.0]


def given(size, num_classes=5, ignored=True):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, num_classes, (2, *size), generator=generator)
    labels[0, : size[0] // 3] = 255 if ignored else 1
    return labels, [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]


def repeated(logits, size):
    rows, columns = (torch.arange(n) * m // n for n, m in zip(size, logits.shape[2:], strict=True))
    return logits[:, :, rows][:, :, :, columns]


def compare(loss, num_outputs=5, size=(33, 50), **settings):
    """Compare loss, gradient and accuracy with mmseg's for repeated logits."""
    settings |= dict(
        num_classes=max(2, num_outputs), out_channels=num_outputs, loss_decode=loss, channels=8
    )
    own, other = FittedTaskHead(8, [4.0], **settings), FCNHead(in_channels=8, **settings)
    _, samples = given(size, max(2, num_outputs))
    logits = torch.randn(2, num_outputs, 5, 7, requires_grad=True)
    found = own.loss_by_feat(logits, samples)
    expected = other.loss_by_feat(repeated(logits, size), samples)
    (name,) = (key for key in found if 'loss' in key)
    torch.testing.assert_close(found[name], expected[name])
    gradients = [torch.autograd.grad(losses[name], logits)[0] for losses in (found, expected)]
    torch.testing.assert_close(*gradients)
    return found, expected


@pytest.mark.parametrize('size', [(32, 48), (33, 50)])
@pytest.mark.parametrize(
    'settings', [{}, dict(avg_non_ignore=True), dict(reduction='sum', loss_weight=0.3)]
)
@pytest.mark.parametrize('sigmoid', [False, True])
def test_the_loss_is_mmsegs_with_repeated_logits(settings, size, sigmoid):
    loss = dict(type='CrossEntropyLoss', use_sigmoid=sigmoid, **settings)
    found, expected = compare(loss, size=size)
    torch.testing.assert_close(found['acc_seg'], expected['acc_seg'])


@pytest.mark.parametrize('settings', [{}, dict(avg_non_ignore=True)])
def test_one_output_channel_tells_two_classes_apart(settings):
    compare(dict(type='CrossEntropyLoss', use_sigmoid=True, **settings), num_outputs=1)


def test_class_weights_average_as_torch_does():
    labels, samples = given((33, 50))
    loss = dict(type='CrossEntropyLoss', class_weight=WEIGHTS, avg_non_ignore=True)
    head = FittedTaskHead(8, [4.0], channels=8, num_classes=5, loss_decode=loss)
    logits = torch.randn(2, 5, 5, 7)
    expected = F.cross_entropy(
        repeated(logits, (33, 50)), labels, torch.tensor(WEIGHTS), ignore_index=255
    )
    torch.testing.assert_close(head.loss_by_feat(logits, samples)['loss_ce'], expected)


def test_other_losses_are_of_full_size():
    _, samples = given((32, 32), ignored=False)
    loss = dict(type='DiceLoss')
    settings = dict(channels=8, num_classes=5, loss_decode=loss)
    own, other = FittedTaskHead(8, [4.0], **settings), FCNHead(in_channels=8, **settings)
    logits = torch.randn(2, 5, 4, 4)
    found, expected = (head.loss_by_feat(logits, samples) for head in (own, other))
    torch.testing.assert_close(found, expected)


def test_every_labelled_pixel_is_counted_once_and_where_nearest_upsampling_copies_to():
    labels, _ = given((32, 48))
    counts = label_counts(labels, (4, 6), 5, 255)
    assert counts.sum() == (labels != 255).sum()
    cells = torch.arange(24.0).view(1, 1, 4, 6)
    cell = F.interpolate(cells, size=(32, 48), mode='nearest')[0, 0]
    there = labels[1][cell == 9]
    assert counts[1, :, 1, 3].tolist() == [(there == label).sum() for label in range(5)]


def test_a_label_beyond_the_classes_is_no_silent_count():
    labels = torch.full((1, 8, 8), 5)
    with pytest.raises((IndexError, RuntimeError), match='out of bounds'):
        label_counts(labels, (2, 2), 5, 255)
