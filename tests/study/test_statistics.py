"""Intervals against computations of their own."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from mmseg_infopro.study.statistics import (
    Interval,
    block_weights,
    bootstrap_interval,
    mean_iou,
    paired_interval,
    verdict,
)


def test_the_interval_over_seeds_is_that_of_a_paired_t_test():
    ones, others = [40.1, 39.2, 41.0, 40.4], [38.9, 39.0, 39.6, 39.9]
    expected = ttest_rel(ones, others).confidence_interval(0.95)
    found = paired_interval([a - b for a, b in zip(ones, others, strict=True)])
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.estimate == pytest.approx(np.mean(ones) - np.mean(others))


@pytest.mark.parametrize('count', [0, 1, 2])
def test_fewer_than_three_seeds_have_none(count):
    assert paired_interval([1.0] * count) is None


def test_mean_iou_leaves_out_classes_that_nobody_has():
    intersections, unions = np.array([[1.0, 0.0, 3.0]]), np.array([[2.0, 0.0, 4.0]])
    assert mean_iou(intersections, unions).tolist() == [62.5]


def test_blocks_are_consecutive_frames_and_each_resample_is_as_long():
    weights = block_weights(50, 10, 200, seed=3)
    assert weights.shape == (200, 50)
    assert (weights.sum(axis=1) == 50).all()
    # Whatever frame is drawn, one of its neighbours is drawn with it.
    drawn = weights > 0
    assert (drawn <= (np.roll(drawn, 1, axis=1) | np.roll(drawn, -1, axis=1))).all()
    # On average every frame is drawn once: 200 resamples, a deviation of 1 / sqrt(200) x sqrt(10).
    assert np.abs(weights.mean(axis=0) - 1).max() < 1


def areas(quality, seed, frames=200):
    """Frames with two classes of 1000 pixels, of which a share is found."""
    generator = np.random.default_rng(seed)
    found = 1000 * np.clip(quality + generator.normal(0, 0.02, (frames, 2)), 0, 1)
    return found, np.full((frames, 2), 1000.0)


def test_the_bootstrap_covers_the_difference_of_independent_frames():
    # Of IoUs .6 and .5, each with a deviation of .02 a frame and 400 values: 10 +- 1.96 x .14.
    found = bootstrap_interval([areas(0.6, 1)], [areas(0.5, 2)])
    assert found.estimate == pytest.approx(10, abs=0.4)
    assert found.low < 10 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1414, rel=0.35)


def test_few_frames_have_an_interval_too():
    found = bootstrap_interval([areas(0.6, 1, frames=6)], [areas(0.5, 2, frames=6)])
    assert found.high - found.low > 0.5


def test_a_difference_to_itself_is_none():
    found = bootstrap_interval([areas(0.5, 1)], [areas(0.5, 1)])
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ('seeds', 'frames', 'said'),
    [
        (None, (1, 2), 'too few seeds'),
        ((1, 2), (0.5, 2), 'better'),
        ((-2, -1), (-2, -0.5), 'worse'),
        ((1, 2), (-0.5, 2), 'no difference shown'),
        ((-1, 2), (0.5, 2), 'no difference shown'),
        ((1, 2), (-2, -1), 'no difference shown'),
    ],
)
def test_no_claim_from_one_interval_alone(seeds, frames, said):
    made = [None if ends is None else Interval(sum(ends) / 2, *ends) for ends in (seeds, frames)]
    assert verdict(*made) == said
