"""The similarity head against the formula, written as loops."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmseg_infopro.local_heads.pixel_sampling import sample_pixels
from mmseg_infopro.local_heads.similarity_head import similarity_loss
from tests.local_heads.by_hand import cross_entropy, samples

NUM_CLASSES = 3


def head(**settings):
    torch.manual_seed(0)
    defaults = dict(type='SimilarityHead', in_channels=6, num_classes=NUM_CLASSES, num_samples=24)
    return MODELS.build({**defaults, **settings})


def cosine(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a @ b) / (a.norm() * b.norm())


def loss_by_loops(vectors, labels):
    """Of the pixels that are not ignored; each pair counts, both ways and with itself."""
    one_hot = torch.eye(NUM_CLASSES, dtype=vectors.dtype)
    valid = [i for i in range(len(labels)) if labels[i] != 255]
    errors = [
        cosine(vectors[i], vectors[j]) - cosine(one_hot[labels[i]], one_hot[labels[j]])
        for i in valid
        for j in valid
    ]
    return torch.stack(errors).square().mean()


def test_pairs_of_valid_pixels_are_compared_with_those_of_their_labels():
    torch.manual_seed(0)
    vectors = torch.randn(7, 4, dtype=torch.double)
    labels = torch.tensor([0, 2, 255, 1, 1, 255, 0])
    actual = similarity_loss(vectors, labels, NUM_CLASSES, 255)
    torch.testing.assert_close(actual, loss_by_loops(vectors, labels), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize('channels', [[6], [6, 4]], ids=['one', 'branches'])
def test_losses_and_gradients_are_those_of_the_formula(channels):
    module = head(in_channels=channels, beta=0.75, loss_weight=2.0).double()
    features = [
        torch.randn(2, c, 6 - 2 * i, 5, dtype=torch.double, requires_grad=True)
        for i, c in enumerate(channels)
    ]
    data_samples = samples((12, 10), NUM_CLASSES)
    labels = torch.cat([sample.gt_sem_seg.data for sample in data_samples])
    labels = labels[:, ::2, ::2].flatten()
    torch.manual_seed(1)
    losses = module.loss(features, data_samples, {})
    torch.manual_seed(1)
    drawn = sample_pixels(labels, 24, NUM_CLASSES, 255)

    x = torch.cat([F.interpolate(x, (6, 5), mode='bilinear') for x in features], 1)
    projected = F.conv2d(x, module.project.weight, padding=1)
    similar = loss_by_loops(projected.permute(0, 2, 3, 1).flatten(0, 2)[drawn], labels[drawn])
    linear = module.classify.conv_seg
    logits = F.conv2d(x, linear.weight, linear.bias)
    expected = 2 * (0.25 * cross_entropy(logits, data_samples) + 0.75 * similar)
    actual = losses['loss_sim'] + losses['loss_ce']
    leaves = [*features, *module.parameters()]
    gradients = torch.autograd.grad(actual, leaves)
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)
    expected_gradients = torch.autograd.grad(expected, leaves)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-5, atol=1e-6)


def test_features_without_a_direction_have_finite_gradients():
    vectors = torch.zeros(3, 4, requires_grad=True)
    similarity_loss(vectors, torch.arange(3), NUM_CLASSES, 255).backward()
    assert vectors.grad.isfinite().all()


@pytest.mark.parametrize(('channels', 'width'), [(None, 10), (16, 16)])
def test_its_convolution_is_as_wide_as_the_border_or_as_asked(channels, width):
    assert head(in_channels=[6, 4], channels=channels).project.weight.shape == (width, 10, 3, 3)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(beta=1.5), 'beta must be from 0 to 1, got 1.5'),
        (dict(num_samples=1), 'num_samples must be at least 2, got 1'),
        (dict(num_classes=1), 'num_classes must be at least 2, got 1'),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        head(**settings)
