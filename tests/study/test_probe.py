"""Probes read a frozen network, and say what is in it."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from mmseg_infopro.study.probe import (
    Knowledge,
    Probes,
    largest_fall,
    train_probes,
)
from mmseg_infopro.study.probe_report import ProbedCheckpoint, probe_figure, probe_sentence
from mmseg_infopro.study.probe_scores import Score, evaluate_probes
from tests.models import HEADS, batch, build, model_config

BOUNDARIES = ['layer1.0', 'layer2.1']


def network():
    cfg = model_config(local=dict(boundaries=BOUNDARIES, heads=HEADS))
    return build(cfg | dict(test_cfg=ConfigDict(mode='whole')))


def coloured(seed):
    """Images whose left half is dark and of class 0, and whose right half is bright, of class 1."""
    data = batch(seed=seed)
    for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
        half = image.shape[-1] // 2
        image[..., :half], image[..., half:] = 10, 240
        label = sample.gt_sem_seg.data
        label[..., :half], label[..., half:] = 0, 1
    return data


def test_they_read_what_stands_at_the_borders_and_change_nothing():
    model = network()
    probes = Probes(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_probes(probes, [batch(seed=1)], 2)
    images = model.data_preprocessor(batch(), False)['inputs']
    found = dict(probes.features(images))
    for index, boundary in enumerate(BOUNDARIES):
        for one, other in zip(found[boundary], model.border_features(images, index), strict=True):
            assert torch.equal(one, other)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert next(iter(found)) == 'stem'


def test_what_a_network_knows_is_found():
    torch.manual_seed(0)
    probes = Probes(network(), ['stem'])
    train_probes(probes, [coloured(seed) for seed in range(2)], 60, learning_rate=1e-2)
    (stem,), own = evaluate_probes(probes, [coloured(9)])
    assert min(stem.linear, stem.small) > 80
    assert stem.image > 0.5
    assert set(own) == {'local_0.FCNHead', 'local_1.FCNHead', 'decode_head'}


def test_a_score_is_that_of_all_pixels_together():
    score = Score()
    score.areas = [(np.array([1, 0]), np.array([2, 0])), (np.array([1, 3]), np.array([2, 4]))]
    assert score.miou == pytest.approx(100 * (2 / 4 + 3 / 4) / 2)
    # As good as half of the way from one colour, .7, to the image's own entropy, .5.
    score.entropies = [(0.6, 0.7, 0.5)]
    assert (score.rebuilt, score.image) == (pytest.approx(0.4), pytest.approx(0.5))


def points(*scores):
    return [Knowledge(f'unit{i}', 0.0, score, 0.5, 0.5) for i, score in enumerate(scores)]


def test_a_fall_is_measured_from_the_best_unit_before():
    assert largest_fall(points(20, 30, 29, 25, 40)) == (
        "the small head's mIoU falls by 5.0 points at unit3 (30.0 after unit1, 25.0 here)"
    )
    assert largest_fall(points(20, 30, 29, 31)) is None
    assert 'no unit loses' in probe_sentence(ProbedCheckpoint('k4', points(20, 30), {}))


def test_the_picture_has_a_line_a_checkpoint():
    probed = [ProbedCheckpoint(name, points(20, 30), {}) for name in ('e2e', 'k4')]
    figure = probe_figure(probed)
    assert [len(axes.lines) for axes in figure.axes] == [2, 2, 2]


def test_a_boundary_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"there is no boundary 'layer9.0' to probe; valid: \['st"):
        Probes(network(), ['layer9.0'])


def test_a_loader_without_batches_is_an_error():
    with pytest.raises(ValueError, match='yields no batch'):
        train_probes(Probes(network(), ['stem']), [], 1)
