"""Dry steps of schedules that have several kinds of step."""

from copy import deepcopy

import pytest
from mmengine.config import Config

from mmseg_infopro.config.step import dry_config_step, dry_config_steps
from tests.models import model_config

BOUNDARIES = ['layer1.1', 'layer2.1', 'layer3.1']


def config(batch_size=2, **local):
    return Config(
        dict(
            model=model_config(local=dict(boundaries=BOUNDARIES, **local)),
            train_dataloader=dict(batch_size=batch_size),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        )
    )


def peaks(cfg):
    return {step.kind: step.peak.total for step in dry_config_steps(cfg)}


def test_a_global_step_without_recomputing_needs_what_end_to_end_training_needs_and_the_heads():
    cfg = config(schedule=dict(type='PeriodicGlobal', period=4, recompute='none'))
    local, both = config(), peaks(cfg)
    assert both['local'] == peaks(local)['local']
    end_to_end = deepcopy(local)
    end_to_end.model.local = dict(boundaries=[])
    heads = sum(p.nbytes for p in build_heads(cfg))
    # They and their momentum stay, their gradients are gone.
    extra = both['global'] - peaks(end_to_end)['']
    assert 2 * heads <= extra <= 2.1 * heads
    assert dry_config_step(cfg).kind == 'global'


def build_heads(cfg):
    from mmseg_infopro.config.build import build_model

    return list(build_model(cfg.model).local_heads.parameters())


def test_a_global_step_that_recomputes_its_modules_needs_less():
    plain, modules = (
        peaks(config(16, schedule=dict(type='PeriodicGlobal', period=4, recompute=recompute)))
        for recompute in ('none', 'module')
    )
    assert modules['global'] < 0.7 * plain['global']


def test_the_optimizers_state_of_finished_modules_stays():
    cfg = config(schedule=dict(type='Sequential', shares=[1, 1, 1, 1], max_iters=4))
    steps = dry_config_steps(cfg)
    assert [step.kind for step in steps] == [f'module {k}' for k in range(4)]
    states = [step.peak.optimizer_state for step in steps]
    assert states == sorted(states) and states[0] < states[-1] == config_state(cfg)
    # The finished modules run forward only: less than a local step of all modules.
    assert steps[-1].flops < dry_config_step(config()).flops


def config_state(cfg):
    local = deepcopy(cfg)
    local.model.local.pop('schedule')
    return dry_config_step(local).peak.optimizer_state


@pytest.mark.parametrize('kind', ['Overlapping', 'DeepSupervision'])
def test_one_kind_of_step_is_one_dry_step(kind):
    (step,) = dry_config_steps(config(schedule=dict(type=kind)))
    assert step.peak.total > dry_config_step(config()).peak.total
