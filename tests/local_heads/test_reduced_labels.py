"""The loss at the logits' own stride is that of all pixels with logits that are repeated."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_infopro.local_heads import FittedTaskHead
from mmseg_infopro.local_heads.reduced_labels import label_counts

WEIGHTS = [0.5, 1.0, 2.0, 0.25, 3.0]


def given(size, ignored=True):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (2, *size), generator=generator)
    labels[0, : size[0] // 3] = 255 if ignored else 1
    return labels, [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]


@pytest.mark.parametrize(
    'settings',
    [
        {},
        dict(avg_non_ignore=True),
        dict(class_weight=WEIGHTS),
        dict(class_weight=WEIGHTS, avg_non_ignore=True),
        dict(reduction='sum', loss_weight=0.3),
    ],
)
@pytest.mark.parametrize('size', [(32, 48), (33, 50)])
def test_the_loss_is_torchs_with_repeated_logits(settings, size):
    labels, samples = given(size)
    head = FittedTaskHead(
        8, [4.0], 8, num_classes=5, loss_decode=dict(type='CrossEntropyLoss', **settings)
    )
    logits = torch.randn(2, 5, 5, 7, requires_grad=True)
    losses = head.loss_by_feat(logits, samples)
    rows, columns = (torch.arange(n) * m // n for n, m in zip(size, (5, 7), strict=True))
    repeated = logits[:, :, rows][:, :, :, columns]
    weight = torch.tensor(WEIGHTS) if 'class_weight' in settings else None
    pixels = F.cross_entropy(repeated, labels, weight, ignore_index=255, reduction='none')
    divisor = 1.0
    if settings.get('reduction') != 'sum':
        counted = torch.ones(5) if weight is None else weight
        divisor = counted[labels[labels != 255]].sum() if settings else labels.numel()
    expected = settings.get('loss_weight', 1) * pixels.sum() / divisor
    torch.testing.assert_close(losses['loss_ce'], expected)
    correct = (repeated.argmax(1) == labels)[labels != 255].float().mean()
    torch.testing.assert_close(losses['acc_seg'], 100 * correct.view(1))
    (own,) = torch.autograd.grad(losses['loss_ce'], logits)
    torch.testing.assert_close(own, torch.autograd.grad(expected, logits)[0])


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
