"""The rule by which a way is recommended under a cap."""

import pytest
from mmengine.config import Config

from mmseg_infopro.measure.peaks import DryStep, PeakBytes
from mmseg_infopro.report.answer import fewer_to_try
from mmseg_infopro.report.fit_row import Cap, Row
from mmseg_infopro.report.recommending import Candidate, recommended
from mmseg_infopro.report.way import Way

E2E = Candidate(100, 1000, 1)
CHECKPOINTED = Candidate(60, 1090, 1)
AUTO = Candidate(55, 1010, 1)
TWO = Candidate(45, 1005, 2)
FOUR = Candidate(30, 1003, 4)
DEAR = Candidate(120, 900, 8)
WAYS = [E2E, CHECKPOINTED, AUTO, TWO, FOUR, DEAR]


@pytest.mark.parametrize(
    ('cap', 'chosen'), [(200, E2E), (100, E2E), (99, AUTO), (54, TWO), (40, FOUR), (29, None)]
)
def test_exact_gradients_come_first_then_the_cheapest_that_fits(cap, chosen):
    found = recommended(WAYS, E2E, cap)
    assert (None if found is None else WAYS[found]) == chosen


def test_a_way_that_needs_more_than_end_to_end_training_is_never_recommended():
    assert recommended([E2E, DEAR], E2E, 1000) == 0
    assert recommended([Candidate(110, 1200, 1), DEAR], E2E, 1000) is None


def test_local_modules_are_taken_before_checkpointing_that_costs_far_more():
    ways = [E2E, CHECKPOINTED, TWO, FOUR]
    assert ways[recommended(ways, E2E, 70)] == TWO
    ways[1] = Candidate(60, 1050, 1)
    assert ways[recommended(ways, E2E, 70)] == ways[1]


def row(num_modules, peak):
    cfg = Config(dict(model=dict(local=dict(boundaries=['unit'] * (num_modules - 1)))))
    step = DryStep(PeakBytes(peak, 0, 0, 0), (), (), 1000)
    return Row(Way('infopro', num_modules), cfg, step, peak <= 50, 1, None, False)


@pytest.mark.parametrize(
    ('peaks', 'fewer'),
    [
        ({1: 100, 2: 60, 4: 55, 8: 45}, [5, 6, 7]),
        ({1: 100, 2: 60, 4: 50, 8: 45}, [3]),
        ({1: 100, 2: 50, 4: 45, 8: 40}, []),
        ({1: 50, 8: 45}, []),
        ({1: 100, 8: 60}, []),
    ],
)
def test_numbers_that_were_left_out_are_tried_below_the_fewest_that_fit(peaks, fewer):
    rows = [row(count, peak) for count, peak in peaks.items()]
    assert list(fewer_to_try(rows, Cap(50, 0))) == fewer
