"""Which plans are tried under a cap, and in which order."""

import pytest

from mmseg_infopro.config import trials
from mmseg_infopro.config.trials import Fit, recomputing_trials
from mmseg_infopro.measure.peaks import DryStep, PeakBytes
from mmseg_infopro.planning.recompute import CappedPlan

CAP = 10_000


def tried(monkeypatch, smallest, peaks, miss=1.01):
    """Return the targets of the plans whose dry steps have these peaks.

    Args:
        smallest: Target below which nothing fits.
        peaks: Of the dry steps, in order.
    """
    targets = []

    def plan(step, count, cap):
        return None if cap < smallest else CappedPlan((), (), cap)

    def step(cfg, measured, cap, boundaries, groups):
        return Fit((), 'none', DryStep(PeakBytes(peaks[len(targets)], 0, 0, 0), (), (), 0))

    monkeypatch.setattr(trials, 'plan_recompute', plan)
    monkeypatch.setattr(trials, '_trial', step)
    found = recomputing_trials(None, None, None, CAP, range(1, 2), False, miss)
    for _, fit in zip(peaks, found, strict=False):
        targets.append(round(fit.step.peak.total / fit.missed))
    return targets


def test_the_first_plan_aims_below_the_cap(monkeypatch):
    assert tried(monkeypatch, 5000, [9990]) == [pytest.approx(CAP / 1.01, abs=1)]


def test_where_nothing_fits_that_the_cap_itself_is_tried(monkeypatch):
    assert tried(monkeypatch, 9950, [10_100]) == [CAP]


def test_what_misses_is_followed_by_one_that_aims_lower(monkeypatch):
    first, second = tried(monkeypatch, 5000, [10_200, 9990])
    assert second == pytest.approx(first * 0.998 * CAP / 10_200, abs=1)
