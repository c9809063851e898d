"""The contrastive head against the formula, written as loops."""

import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_infopro.local_heads.pixel_contrast_head import supervised_contrastive_loss


def head(**settings):
    torch.manual_seed(0)
    return MODELS.build(dict(type='PixelContrastHead', in_channels=8, num_classes=4, **settings))


def samples(labels):
    return [SegDataSample(gt_sem_seg=PixelData(data=label[None])) for label in labels]


def loss_by_loops(embeddings, labels, valid, temperature):
    total, anchors = 0.0, 0
    for i in range(len(labels)):
        if not valid[i]:
            continue
        anchors += 1
        others = [j for j in range(len(labels)) if j != i and valid[j]]
        positives = [j for j in others if labels[j] == labels[i]]
        partition = sum(torch.exp(embeddings[i] @ embeddings[j] / temperature) for j in others)
        for p in positives:
            log_prob = embeddings[i] @ embeddings[p] / temperature - torch.log(partition)
            total = total - log_prob / len(positives)
    return total / anchors


def test_the_loss_is_the_formula():
    torch.manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(12, 6, dtype=torch.double), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 3, 0, 255, 255, 1, 0])
    valid = labels != 255
    actual = supervised_contrastive_loss(embeddings, labels, valid, 0.07)
    torch.testing.assert_close(actual, loss_by_loops(embeddings, labels, valid, 0.07))


def test_anchors_without_positives_contribute_nothing():
    embeddings = torch.eye(3)
    valid = torch.ones(3, dtype=torch.bool)
    assert supervised_contrastive_loss(embeddings, torch.arange(3), valid, 0.07) == 0


def test_ignored_pixels_are_never_anchors_nor_negatives():
    torch.manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 255, 255])
    loss = supervised_contrastive_loss(embeddings, labels, labels != 255, 0.07)
    fewer = supervised_contrastive_loss(embeddings[:4], labels[:4], labels[:4] != 255, 0.07)
    torch.testing.assert_close(loss, fewer)


def test_sampling_is_class_balanced():
    labels = torch.cat([torch.zeros(9000), torch.ones(900), torch.full((100,), 2)]).long()
    torch.manual_seed(0)
    drawn = labels[head(num_samples=150).sample(labels)].bincount(minlength=3)
    assert drawn.sum() == 150
    assert all(35 <= count <= 65 for count in drawn.tolist())


def test_sampling_uses_each_pixel_once_and_ignored_ones_last():
    labels = torch.full((64,), 255)
    labels[:10] = torch.arange(10) % 3
    drawn = head(num_samples=20).sample(labels)
    assert len(set(drawn.tolist())) == 20
    assert set(drawn[:10].tolist()) == set(range(10))


def test_an_image_without_labels_gives_a_zero_loss_and_finite_gradients():
    module = head(norm_cfg=None)
    labels = torch.full((2, 32, 32), 255)
    loss = module.loss([torch.randn(2, 8, 8, 8)], samples(labels), {})['loss_contrast']
    loss.backward()
    assert loss == 0
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


def test_the_projection_has_unit_length_and_128_dimensions():
    embeddings = head()([torch.randn(1, 8, 4, 4)])
    assert embeddings.shape == (1, 128, 4, 4)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(1, 4, 4))


def test_training_the_head_pulls_classes_apart():
    torch.manual_seed(0)
    module = head(channels=8)
    features = torch.randn(2, 8, 8, 8)
    labels = torch.randint(0, 4, (2, 8, 8))
    features[:, :4] += 3 * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        loss = module.loss([features], samples(labels), {})['loss_contrast']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
