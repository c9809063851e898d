"""Bytes of other sizes, predicted from a few, against measured ones."""

from dataclasses import replace

import pytest

from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.fit_cap import measure_config
from mmseg_infopro.config.localize import localize
from mmseg_infopro.config.read import read_config
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.planning.boundaries import module_peaks, plan_boundaries
from mmseg_infopro.planning.costs import StepBytes, UnitBytes
from mmseg_infopro.planning.growth import curve, grown


def measured(**size):
    cfg = localize(read_config('configs/streets/e2e_deeplabv3_r18.py', None), 2)
    override_step(cfg, **size)
    return measure_config(cfg, read_local_settings(cfg.model.local))


@pytest.mark.parametrize(
    'sizes',
    [
        {count: dict(batch_size=count) for count in (4, 8, 20)},
        {high * 2 * high: dict(crop=(high, 2 * high)) for high in (64, 128, 256)},
    ],
)
def test_a_convolutional_network_grows_as_a_line(sizes):
    *known, last = sizes
    steps = {size: measured(**change) for size, change in sizes.items()}
    predicted = grown({size: steps[size] for size in known}, last)
    for unit, other in zip(predicted.units, steps[last].units, strict=True):
        assert unit.saved == pytest.approx(other.saved, rel=0.01)
        assert unit.operations == other.operations
    boundaries = plan_boundaries(steps[last], 2)
    peaks = module_peaks(steps[last], boundaries)
    # Of the smallest crop weights are the peak of the tail, and not maps.
    assert module_peaks(predicted, boundaries) == pytest.approx(peaks, rel=0.06)


def test_a_parabola_needs_three_sizes():
    def attention(pixels):
        return StepBytes((UnitBytes('a', saved=3 * pixels**2 + 7 * pixels, frozen=True),), fixed=9)

    known = {size: attention(size) for size in (100, 200, 400)}
    assert grown(known, 1000) == attention(1000)
    del known[200]
    assert grown(known, 1000).units[0].saved < attention(1000).units[0].saved


def test_other_units_cannot_be_compared():
    step = StepBytes((UnitBytes('a', saved=5),))
    assert grown({1: step, 2: replace(step, units=step.units * 2)}, 3) is None
    assert grown({1: step, 2: replace(step, units=(UnitBytes('b', saved=5),))}, 3) is None
    assert grown({1: step}, 3) == step


def test_noise_does_not_bend_a_line():
    assert curve([1, 2, 4], [100, 200, 400])(10) == 1000
    assert curve([1, 2, 4], [100, 201, 400])(10) == 1000
    assert curve([1, 2, 4], [1, 4, 16])(10) == 100
