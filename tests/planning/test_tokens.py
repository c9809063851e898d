"""Planning for states that hold plain values: the size of a map beside its tokens."""

import pytest

from mmseg_infopro.planning.batch import StepShape
from mmseg_infopro.planning.unit_costs import measure_step
from tests.local.by_formula import swin_config
from tests.models import HEADS, build


@pytest.mark.parametrize('recompute', ['none', 'cheap'])
def test_heads_behind_tokens_are_measured(recompute):
    model = build(swin_config(2) | dict(local=dict(num_modules=1)))
    shape = StepShape(batch_size=2, crop=(64, 64), copies=1)
    step = measure_step(model, HEADS, model.head_defaults(), shape, recompute)
    assert all(unit.heads > 0 for unit in step.units[:-1])
