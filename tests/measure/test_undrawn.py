"""Building without drawing weights."""

import random

import numpy as np
import torch
from torch import nn

from mmseg_infopro.measure.undrawn import kept_generators, undrawn_weights


def test_the_generators_go_on_where_they_were():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(3).tolist()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with kept_generators():
        random.random(), np.random.rand(), torch.rand(3)
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == expected


def test_modules_are_built_but_for_their_random_values(monkeypatch):
    # Whatever memory holds: here what torch fills it with on request.
    monkeypatch.setattr(torch.utils.deterministic, 'fill_uninitialized_memory', True)
    torch.use_deterministic_algorithms(True)
    try:
        with undrawn_weights():
            layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
            nn.init.kaiming_normal_(layers[0].weight)
            rates = [rate.item() for rate in torch.linspace(0, 1, 3)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert layers[0].weight.isnan().all()
    assert (layers[1].weight == 1).all()
    assert layers[0].weight.shape == (8, 3, 3, 3)
    assert rates == [0, 0.5, 1]


def test_what_is_not_in_place_is_drawn():
    with undrawn_weights():
        assert torch.rand(100).unique().numel() > 1
