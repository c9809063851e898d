"""What may be claimed of differences: t intervals over seeds, block bootstraps over frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev

import numpy as np
from scipy.stats import t

CONFIDENCE = 0.95
BLOCK = 10
"""Consecutive frames that are drawn together: neighbours in a video are alike."""
FEWEST_BLOCKS = 5
"""Of fewer frames than so many blocks have, blocks are shorter."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A difference and the interval that it lies in with 95% confidence."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference has a sign."""
        return self.low > 0 or self.high < 0


def paired_interval(differences: Sequence[float]) -> Interval | None:
    """Return Student's interval of the mean of seed-paired differences; None of fewer than 3."""
    if len(differences) < 3:
        return None
    half = t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)
    half *= stdev(differences) / sqrt(len(differences))
    centre = mean(differences)
    return Interval(centre, centre - half, centre + half)


def mean_iou(intersections: np.ndarray, unions: np.ndarray) -> np.ndarray:
    """Return mIoU in per cent by pixels of classes, ``(..., C)``; those without any are left out.

    Args:
        intersections: Summed over images.
        unions: Likewise.
    """
    with np.errstate(invalid='ignore', divide='ignore'):
        return 100 * np.nanmean(intersections / unions, axis=-1)


def bootstrap_interval(
    ones: Sequence[tuple[np.ndarray, np.ndarray]],
    others: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int = 0,
) -> Interval:
    """Return the interval of the difference of two ways' mIoUs over the choice of frames.

    Blocks of consecutive frames are drawn with replacement, the same for all runs (a circular
    moving-block bootstrap, Politis and Romano, 1992); the percentiles of the differences, each of
    means over a way's runs, are the interval. It says nothing of the seeds.

    Args:
        ones: Of each run of the one way, intersections and unions by image and class, ``(N, C)``.
        others: Of the other way.
        seed: Of the draws.
    """
    count = len(ones[0][0])
    # Blocks as long as all frames together would draw the same frames every time.
    block = min(BLOCK, max(1, count // FEWEST_BLOCKS))
    weights = block_weights(count, block, RESAMPLES, seed)

    def score(runs: Sequence[tuple[np.ndarray, np.ndarray]], drawn: np.ndarray) -> np.ndarray:
        return np.mean([mean_iou(drawn @ areas[0], drawn @ areas[1]) for areas in runs], axis=0)

    differences = score(ones, weights) - score(others, weights)
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    every = np.ones((1, count))
    estimate = score(ones, every) - score(others, every)
    return Interval(float(estimate[0]), float(low), float(high))


def block_weights(count: int, block: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each frame is drawn in each resample, ``(resamples, count)``."""
    generator = np.random.default_rng(seed)
    num_blocks = -(-count // block)
    starts = generator.integers(count, size=(resamples, num_blocks))
    frames = (starts[..., None] + np.arange(block)) % count
    frames = frames.reshape(resamples, -1)[:, :count]
    weights = np.zeros((resamples, count))
    np.add.at(weights, (np.arange(resamples)[:, None], frames), 1)
    return weights


def verdict(seeds: Interval | None, frames: Interval) -> str:
    """Return what both intervals together allow to say; neither of them is enough alone."""
    if seeds is None:
        return 'too few seeds'
    agree = seeds.excludes_zero and frames.excludes_zero and seeds.estimate * frames.estimate > 0
    if not agree:
        return 'no difference shown'
    return 'better' if seeds.estimate > 0 else 'worse'
