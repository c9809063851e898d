"""What of a run depends on its schedule."""

import pytest
from mmengine.config import Config

from mmseg_infopro.config.phases import fill_max_iters, fit_run_to_schedule
from tests.models import build, model_config

POLY = dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=100, by_epoch=False)
WARMUP = dict(type='LinearLR', start_factor=0.1, begin=0, end=5, by_epoch=False)


def config(schedule, **kwargs):
    local = dict(boundaries=['layer2.1'], schedule=schedule)
    train_cfg = dict(type='IterBasedTrainLoop', max_iters=100, val_interval=10)
    settings = {'param_scheduler': [WARMUP, POLY], 'train_cfg': train_cfg, **kwargs}
    return Config(dict(model=dict(local=local), **settings))


def test_sequential_training_restarts_the_rate_and_validates_once_the_tail_trains():
    cfg = config(dict(type='Sequential', shares=[60, 40], max_iters=100))
    fit_run_to_schedule(cfg)
    assert cfg.param_scheduler[0] == WARMUP
    assert cfg.param_scheduler[1] == dict(
        type='PhasedPolyLR', phases=[0, 60], length=100, by_epoch=False, eta_min=1e-4, power=0.9
    )
    assert cfg.train_cfg.val_begin == 61


def test_the_rate_restarts_behind_a_warm_up_that_stays():
    cfg = config(dict(type='Sequential', shares=[60, 40], max_iters=100))
    cfg.param_scheduler = [WARMUP, dict(POLY, begin=5)]
    fit_run_to_schedule(cfg)
    assert cfg.param_scheduler[0] == WARMUP
    assert cfg.param_scheduler[1] == dict(
        type='PhasedPolyLR',
        phases=[0, 55],
        length=95,
        by_epoch=False,
        eta_min=1e-4,
        power=0.9,
        begin=5,
    )


def test_a_tail_that_never_trains_is_refused():
    cfg = config(dict(type='Sequential', shares=[100, 0], max_iters=100))
    with pytest.raises(ValueError, match='never trains the tail'):
        fit_run_to_schedule(cfg)


@pytest.mark.parametrize(
    'schedule',
    [dict(type='Local'), dict(type='PeriodicGlobal', period=2), dict(type='Overlapping')],
)
def test_runs_whose_tail_trains_from_the_start_stay_as_they_are(schedule):
    cfg, before = config(schedule), config(schedule)
    fit_run_to_schedule(cfg)
    assert cfg.to_dict() == before.to_dict()


def test_a_schedule_is_told_the_iterations_of_the_run():
    cfg = config(dict(type='Sequential'))
    fill_max_iters(cfg)
    assert cfg.model.local.schedule.max_iters == 100
    fill_max_iters(cfg)
    cfg = config(dict(type='Overlapping'))
    fill_max_iters(cfg)
    assert 'max_iters' not in cfg.model.local.schedule


def test_iterations_of_another_run_are_refused():
    cfg = config(dict(type='Sequential', max_iters=50))
    with pytest.raises(ValueError, match=r'max_iters=50 is not the .*max_iters=100'):
        fill_max_iters(cfg)


def test_iterations_that_are_not_known_are_asked_for():
    cfg = config(dict(type='Sequential'), train_cfg=dict(max_epochs=3))
    fill_max_iters(cfg)
    with pytest.raises(ValueError, match=r'takes it from train_cfg\.max_iters'):
        fit_run_to_schedule(cfg)
    cfg = config(dict(type='PeriodicGlobal', period=2), train_cfg=dict(max_epochs=3))
    fill_max_iters(cfg)
    fit_run_to_schedule(cfg)


def test_a_schedule_that_one_module_is_too_few_for_is_refused():
    cfg = config(dict(type='Overlapping'))
    cfg.model.local.boundaries = []
    with pytest.raises(ValueError, match='at least 2 local modules, got 1'):
        fit_run_to_schedule(cfg)


@pytest.mark.parametrize('period', [2, 3])
def test_a_period_that_cuts_an_accumulation_is_refused(period):
    schedule = dict(type='PeriodicGlobal', period=period)
    cfg = config(schedule, optim_wrapper=dict(accumulative_counts=2))
    with pytest.raises(ValueError, match=r'a multiple of optim_wrapper\.accumulative_counts=2'):
        fit_run_to_schedule(cfg)


def test_a_phase_of_frozen_modules_is_refused():
    schedule = dict(type='Sequential', shares=[5, 5], max_iters=10)
    cfg = model_config(local=dict(boundaries=['layer1.1'], schedule=schedule))
    cfg['backbone']['frozen_stages'] = 1
    with pytest.raises(ValueError, match="phase, 'module 0', of frozen modules only"):
        build(cfg)
