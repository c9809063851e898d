"""What is measured of units for their time, against a whole step."""

from functools import partial
from itertools import combinations

import pytest
from mmengine.config import ConfigDict

from mmseg_infopro.measure.dry_step import dry_step
from mmseg_infopro.planning.batch import StepShape
from mmseg_infopro.planning.boundaries import TOLERANCE
from mmseg_infopro.planning.costs import NO_WORK
from mmseg_infopro.planning.device import DEVICES, Device, find_device
from mmseg_infopro.planning.objective import ShortestStage
from mmseg_infopro.planning.stage_costs import StageCosts, end_to_end
from mmseg_infopro.planning.unit_costs import measure_step
from tests.models import HEADS, batch, build, model_config

SGD = ConfigDict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))


@pytest.fixture
def model():
    return build(model_config(local=dict(boundaries=['layer1.1', 'layer3.0'])))


def measured(model, **kwargs):
    return measure_step(model, HEADS, model.head_defaults(), StepShape(2, (64, 64)), **kwargs)


def flops_of(units, tail=NO_WORK):
    works = [w for u in units for w in (u.forward_work, u.backward_work, u.auxiliary_work)]
    return sum(work.flops for work in works) + tail.flops


def test_units_and_heads_add_up_to_the_step(model):
    step = measured(model)
    names = [unit.name for unit in step.units]
    ends = [names.index(name) for name in ('layer1.1', 'layer3.0')]
    local = sum(step.units[end].heads_work.flops for end in ends)
    whole = dry_step(model, SGD, partial(batch, 64))
    # A unit alone gives a gradient to what it starts from; the first of a module does not.
    assert flops_of(step.units, step.tail_work) + local == pytest.approx(whole.flops, rel=0.03)
    parameters = sum(p.nbytes for p in model.parameters())
    heads = sum(step.units[end].head_parameters for end in ends)
    own = sum(unit.parameters for unit in step.units) + step.tail_parameters
    assert own == parameters  # local heads of this model are among the tail's
    assert heads == sum(p.nbytes for p in model.local_heads.parameters())
    assert (step.image, step.labels) == (2 * 3 * 64 * 64 * 4, 2 * 64 * 64 * 8)
    assert all(unit.reads_image for unit in step.units[:-1])


def test_the_tail_keeps_less_than_its_peak(model):
    step = measured(model)
    assert 0 < step.tail_saved < step.tail_heads


def test_what_is_computed_again_is_work(model):
    plain, cheap, units = (measured(model, recomputed=w) for w in ('none', 'cheap', 'units'))
    first = plain.units[3]
    assert cheap.units[3].backward_work == first.backward_work + type(first.forward_work)(
        0, first.forward_work.moved
    )
    assert units.units[3].backward_work == first.backward_work + first.forward_work


def test_a_stage_takes_its_work_at_the_speeds_of_the_device(model):
    step = end_to_end(measured(model))
    device = find_device('a100')
    (stage,) = StageCosts(step, device).partition([])
    forward = sum(unit.forward_work.moved for unit in step.units)
    flops = sum(unit.forward_work.flops for unit in step.units)
    assert stage.forward == pytest.approx(flops / (0.4 * 156e12) + forward / (0.8 * 2039e9))
    assert stage.border_bytes == 0
    assert not any(unit.heads_work.flops for unit in step.units)


def test_a_network_is_cut_as_well_as_by_brute_force(model):
    step, device = measured(model), Device('', 8.0, 1.0)
    names = [unit.name for unit in step.units][:-1]
    costs = StageCosts(step, device)
    for num_modules in (2, 3, 4):
        longest = {
            cut: max(stage.seconds for stage in costs.partition(cut))
            for cut in combinations(names, num_modules - 1)
        }
        peaks = {cut: ShortestStage(device).peak(step, cut) for cut in longest}
        for cap in (None, sorted(peaks.values())[len(peaks) // 2]):
            best = min(longest[cut] for cut in longest if cap is None or peaks[cut] <= cap)
            plan = tuple(ShortestStage(device, cap=cap).plan(step, num_modules))
            assert longest[plan] <= best * (1 + TOLERANCE)
            assert cap is None or peaks[plan] <= cap


def test_devices():
    assert all(device.source for device in DEVICES.values())
    with pytest.raises(ValueError, match="there is no device named 'abacus'; valid: a100"):
        find_device('abacus')
