"""What each process of a pipeline needs, against the step of one process and by hand."""

from contextlib import nullcontext
from functools import partial
from weakref import ref

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper

from mmseg_infopro.config.stage_steps import dry_stage_steps
from mmseg_infopro.local.carried import Carried
from mmseg_infopro.local.local_losses import reads_image
from mmseg_infopro.local.processes import Alone
from mmseg_infopro.local.step import local_train_step
from mmseg_infopro.measure.dry_step import dry_step
from mmseg_infopro.measure.work import WorkCounter
from mmseg_infopro.planning.borders import Borders
from tests.models import HEADS, batch, build, model_config

SGD = ConfigDict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
BOUNDARIES = ['layer1.1', 'layer3.0']


def steps_of(model, wrapper=SGD, watches=None, **borders):
    return dry_stage_steps(model, wrapper, partial(batch, 64), Borders(**borders), watches)


@pytest.fixture
def model():
    return build(model_config(local=dict(boundaries=BOUNDARIES)))


def test_the_processes_share_the_step_of_one(model):
    whole, stages = dry_step(model, SGD, partial(batch, 64)), steps_of(model)
    assert [stage.kind for stage in stages] == ['process 0', 'process 1', 'process 2']
    assert sum(stage.flops for stage in stages) == whole.flops
    for part in ('parameters', 'optimizer_state'):
        assert sum(getattr(stage.peak, part) for stage in stages) == getattr(whole.peak, part)
    assert max(stage.peak.total for stage in stages) < whole.peak.total
    assert [set(stage.modules) - {None} for stage in stages] == [{0}, {1}, {2}]


def test_borders_wait_until_the_next_process_has_them(model):
    few, more = steps_of(model, in_flight=1), steps_of(model, in_flight=3)
    differences = [b.peak.total - a.peak.total for a, b in zip(few, more, strict=True)]
    first, second = 2 * 8 * 16 * 16 * 4, 2 * 32 * 8 * 8 * 4
    assert differences == [2 * first, 2 * second, 0]
    assert more[0].timeline[0] - few[0].timeline[0] == 2 * first


def test_borders_wait_to_be_trained_on_again(model):
    exact, stale = steps_of(model), steps_of(model, staleness=2)
    differences = [b.peak.total - a.peak.total for a, b in zip(exact, stale, strict=True)]
    first, second = 2 * 8 * 16 * 16 * 4, 2 * 32 * 8 * 8 * 4
    assert differences == [0, 3 * first, 3 * second]


def test_borders_travel_and_wait_in_half_of_the_bytes(model):
    exact, narrow = (steps_of(model, staleness=1, narrow=narrow) for narrow in (False, True))
    differences = [b.peak.total - a.peak.total for a, b in zip(exact, narrow, strict=True)]
    first, second = 2 * 8 * 16 * 16 * 4, 2 * 32 * 8 * 8 * 4
    # Two are on their way and two wait; the one that a module trains on is whole.
    assert differences == [-first, -(first + second), -second]


def test_what_is_not_a_32_bit_float_travels_as_it_is(model):
    wrapper = ConfigDict(SGD, type='AmpOptimWrapper', dtype='bfloat16')
    exact, narrow = (steps_of(model, wrapper, narrow=narrow) for narrow in (False, True))
    assert [step.peak.total for step in exact] == [step.peak.total for step in narrow]


def test_a_feature_that_the_tail_reads_rides_along():
    cfg = model_config(local=dict(boundaries=BOUNDARIES))
    cfg['decode_head'].update(in_channels=[8, 64], in_index=[0, 3], input_transform='resize_concat')
    cfg['decode_head'].update(in_channels=[8, 64])
    few, more = (steps_of(build(cfg), in_flight=count) for count in (1, 2))
    feature, state = 2 * 8 * 16 * 16 * 4, 2 * 32 * 8 * 8 * 4
    # Behind layer1 the state is the feature, and travels twice.
    differences = [b.peak.total - a.peak.total for a, b in zip(few, more, strict=True)]
    assert differences == [2 * feature, state + feature, 0]


def test_who_reads_the_image(model):
    task_only = build(model_config(local=dict(boundaries=BOUNDARIES, heads=HEADS[:1])))
    assert [reads_image(model, index) for index in range(3)] == [True, True, False]
    assert [reads_image(task_only, index) for index in range(3)] == [True, False, False]


def test_work_is_counted_by_process(model):
    watches = [WorkCounter() for _ in range(3)]
    stages = steps_of(model, watches=watches)
    assert [w.forward.flops + w.backward.flops for w in watches] == [s.flops for s in stages]
    assert all(watch.backward.moved and watch.forward.moved for watch in watches)


def test_the_image_is_gone_where_nothing_reads_it():
    task_only = build(model_config(local=dict(boundaries=BOUNDARIES, heads=HEADS[:1])))
    wrapper = OptimWrapper(torch.optim.SGD(task_only.parameters(), lr=0.1))
    gone = []

    class Second(Alone):
        stages = range(1, 2)

        def receive(self, carried):
            self.image = ref(carried.image)
            state, image = torch.rand(2, 8, 16, 16), torch.zeros(()).expand(2, 3, 64, 64)
            return Carried(state, image, carried.samples)

        def running(self):
            gone.append(self.image() is None)
            return nullcontext()

    samples = batch(64)
    for _ in range(2):  # the batch stays what it was
        local_train_step(task_only, samples, wrapper, Second())
    assert gone == [True, True]
