"""The course of a step: FLOPs, module peaks and the picture."""

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro.measure.dry_step import dry_step
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.report.timeline import draw_timelines, highest
from tests.measure.test_dry_step import SGD
from tests.models import KeepGradients, batch, build, model_config

BOUNDARIES = ['layer1.1', 'layer3.0']


def model_of(*boundaries):
    return build(model_config(local=dict(boundaries=list(boundaries))))


def test_flops_are_those_of_a_real_step():
    step = dry_step(model_of(*BOUNDARIES), SGD, batch)
    model = model_of(*BOUNDARIES)
    with FlopCounterMode(display=False) as counter:
        model.train_step(batch(), KeepGradients.wrap(model))
    assert step.flops == counter.get_total_flops() > 0


def test_the_flops_of_attention_on_a_cpu_are_those_of_its_products():
    maps = torch.zeros(2, 4, 16, 8, requires_grad=True)
    with MemoryTracker() as tracker:
        nn.functional.scaled_dot_product_attention(maps, maps, maps).sum().backward()
    product = 2 * 2 * 4 * 16 * 16 * 8
    # Queries by keys and by values; backwards twice as many, and the first one again.
    assert tracker.flops == (2 + 5) * product


def test_the_largest_module_peak_is_the_peak():
    step = dry_step(model_of(*BOUNDARIES), SGD, batch)
    peaks = step.module_peaks()
    assert list(peaks) == [0, 1, 2]
    assert max(peaks.values()) == step.peak.total == max(step.timeline)


def test_a_model_without_modules_has_no_module_peaks():
    assert dry_step(build(model_config()), SGD, batch).module_peaks() == {}


def test_activations_are_gone_between_modules():
    step = dry_step(model_of(*BOUNDARIES), SGD, batch)
    first_end = max(i for i, module in enumerate(step.modules) if module == 0)
    assert step.timeline[first_end] < 0.7 * step.module_peaks()[0]


@pytest.mark.parametrize(
    ('values', 'points', 'expected'),
    [([1, 5, 2, 3], 2, [5, 3]), ([4, 1], 10, [4, 1]), ([], 5, []), ([1, 2, 3], 1, [3])],
)
def test_no_peak_is_lost_in_the_picture(values, points, expected):
    assert highest(values, points) == expected


def test_the_picture_shows_every_step(tmp_path):
    steps = {
        name: dry_step(model_of(*cut), SGD, batch)
        for name, cut in {'E2E': (), 'K=3': BOUNDARIES}.items()
    }
    draw_timelines(steps, tmp_path / 'memory.png', 'tiny')
    colours = Image.open(tmp_path / 'memory.png').convert('RGB').getcolors(1 << 20)
    seen = {colour for _, colour in colours}
    assert {(31, 119, 180), (255, 127, 14)} <= seen  # matplotlib's first two
