"""What a schedule asks for is checked against the model."""

import logging

import pytest

from mmseg_infopro.local.clock import at_iteration
from mmseg_infopro.local.schedule import SCHEDULES, Pass, Schedule
from tests.models import HEADS, KeepGradients, batch, build, model_config


@SCHEDULES.register_module()
class Fixed(Schedule):
    """Passes over two modules, with other ones from iteration 5 on."""

    def __init__(self, weights, later=None):
        self.weights, self.later = weights, later

    def __call__(self, iteration, num_modules):
        weights = self.later if self.later and iteration >= 5 else self.weights
        return [Pass(0, 0, weights), Pass(1, 1, {1: 1.0})]


def model(weights, later=None, heads=HEADS):
    schedule = dict(type='Fixed', weights=weights, later=later)
    return build(model_config(local=dict(boundaries=['layer2.1'], schedule=schedule, heads=heads)))


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        (
            {(0, 'FCNHaed'): 1.0},
            r"weighs \(0, 'FCNHaed'\), but module 0 has FCNHead, .*; did you mean FCNHead",
        ),
        ({(0, 'FCNHead'): 1.0}, 'gives the head ReconstructionHead of module 0 no weight'),
    ],
)
def test_weights_of_heads_are_checked(weights, message):
    with pytest.raises(ValueError, match=message):
        model(weights)


def test_a_kind_of_step_that_no_phase_names_is_checked_and_warned_of(caplog):
    net = model({0: 1.0}, later={0: 1.0, (0, 'FCNHead'): 0.0})
    wrapper = KeepGradients.wrap(net)
    with caplog.at_level(logging.WARNING), at_iteration(5):
        net.train_step(batch(size=32), wrapper)
        net.train_step(batch(size=32), wrapper)
    net = model({0: 1.0}, later={(0, 'no'): 1.0})
    with at_iteration(5), pytest.raises(ValueError, match='but module 0 has FCNHead'):
        net.train_step(batch(size=32), wrapper)


@pytest.mark.parametrize(
    ('schedule', 'message'),
    [
        (dict(type=dict), 'must be a subclass of Schedule'),
        (dict(type='Fixed', weight=1), 'takes no weight; valid: weights, later'),
        (dict(type='PeriodicGlobal', perod=3), 'takes no perod; valid: period, last_share'),
    ],
)
def test_what_is_no_schedule_is_refused(schedule, message):
    with pytest.raises(ValueError, match=message):
        build(model_config(local=dict(boundaries=['layer2.1'], schedule=schedule)))


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (dict(HEADS[0], at=[1]), r'at names module 1; those with local heads are 0 to 0'),
        (dict(HEADS[0], at='0'), "at must be a list of numbers of local modules, got '0'"),
        (dict(type='FCNHaed'), 'is not registered; did you mean FCNHead, or is its module in'),
    ],
)
def test_heads_that_do_not_fit_are_refused(head, message):
    with pytest.raises(ValueError, match=message):
        model({0: 1.0}, heads=[HEADS[1], head])


def test_a_head_without_a_loss_is_named():
    net = model({0: 1.0})
    net.local_heads['layer2-1'][0].loss = lambda *args, **kwargs: dict(edge=args[0][0].mean())
    with pytest.raises(ValueError, match=r"FCNHead returns edge: only keys with 'loss'"):
        net.train_step(batch(size=32), KeepGradients.wrap(net))


def test_a_compiled_module_does_not_recompute():
    local = dict(boundaries=['layer2.1'], heads=HEADS, compile=dict(backend='eager'))
    local['schedule'] = dict(type='PeriodicGlobal', period=2, recompute='units')
    with pytest.raises(ValueError, match=r'local.compile and a local.schedule.recompute exclude'):
        build(model_config(local=local))
