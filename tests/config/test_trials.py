"""Which plans are tried under a cap, and in which order."""

import pytest

from mmseg_infopro.config import trials
from mmseg_infopro.config.trials import Fit, recomputing_trials
from mmseg_infopro.measure.peaks import DryStep, PeakBytes
from mmseg_infopro.planning.costs import StepBytes, UnitBytes
from mmseg_infopro.planning.objective import SmallestPeak
from mmseg_infopro.planning.recompute import CappedPlan
from mmseg_infopro.recompute.operations import ComputeOperation

CAP = 10_000


def judge_by(monkeypatch, plan):
    """Let plans for recomputing be made up: from a step, a number of modules and a cap."""
    made_up = type('MadeUp', (SmallestPeak,), dict(plan_recompute=lambda self, *args: plan(*args)))
    monkeypatch.setattr(trials, 'objective_of', lambda cfg, settings: made_up())


def tried(monkeypatch, smallest, peaks, miss=1.01):
    """Return the targets of the plans whose dry steps have these peaks.

    Args:
        smallest: Target below which nothing fits.
        peaks: Of the dry steps, in order.
    """
    targets = []

    def plan(step, count, cap):
        return None if cap < smallest else CappedPlan((), (cap,), 0)

    def step(cfg, measured, cap, boundaries, groups):
        return Fit((), 'none', DryStep(PeakBytes(peaks[len(targets)], 0, 0, 0), (), (), 0))

    judge_by(monkeypatch, plan)
    monkeypatch.setattr(trials, '_trial', step)
    monkeypatch.setattr(trials, '_cheap_trial', lambda *args: iter(()))
    measured = step_of_units(3000, 2000)
    found = recomputing_trials(None, None, measured, CAP, range(1, 2), False, miss)
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


def step_of_units(saved, kept):
    convolution = ComputeOperation('conv', 100, kept, saved=True, repeated=True, returned=False)
    unit = dict(saved=saved, backward=saved, inside=saved, operations=(convolution,))
    return StepBytes(tuple(UnitBytes(f'unit{i}', ends_group=True, **unit) for i in range(4)))


@pytest.mark.parametrize(
    ('plan', 'kept', 'expected'),
    [
        (None, 2000, ['cheap']),
        (None, 3000, []),
        (CappedPlan((), (), 40), 2000, ['cheap', 'plan']),
        (CappedPlan((), (), 3), 2000, ['plan']),
    ],
)
def test_what_repeats_no_flops_is_tried_before_a_plan_that_spends_some(
    monkeypatch, plan, kept, expected
):
    def trial(cfg, measured, cap, boundaries, recompute):
        return Fit((), recompute, DryStep(PeakBytes(2 * cap, 0, 0, 0), (), (), 0))

    judge_by(monkeypatch, lambda step, count, cap: plan)
    monkeypatch.setattr(trials, '_trial', trial)
    step = step_of_units(3000, kept)
    found = recomputing_trials(None, None, step, CAP, range(1, 2), False)
    assert [fit.recompute or 'plan' for fit in found] == expected


def test_it_is_tried_too_where_plans_miss_until_they_spend_some(monkeypatch):
    def trial(cfg, measured, cap, boundaries, recompute):
        return Fit((), recompute, DryStep(PeakBytes(1.1 * cap, 0, 0, 0), (), (), 0))

    flops = {True: 0, False: 40}
    monkeypatch.setattr(trials, '_trial', trial)
    judge_by(monkeypatch, lambda step, count, cap: CappedPlan((), (), flops[cap > 9500]))
    found = recomputing_trials(None, None, step_of_units(3000, 2000), CAP, range(1, 2), False)
    assert [fit.recompute or 'plan' for fit in found] == ['plan', 'cheap', 'plan']
