"""A cap holds for the global steps of a schedule, too."""

import pytest
from mmengine.config import Config

from mmseg_infopro.config.fit_cap import fit_cap, set_fit
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.config.step import dry_config_steps
from mmseg_infopro.local.settings import read_local_settings
from tests.models import model_config


def config(cap=None, boundaries=None, local_recompute='auto', **schedule):
    partition = dict(boundaries=boundaries) if boundaries else dict(memory_cap=cap)
    local = dict(
        **partition,
        schedule=dict(type='PeriodicGlobal', period=4, **schedule),
        **({} if boundaries else dict(memory_margin=0, recompute=local_recompute)),
    )
    return Config(
        dict(
            model=model_config(local=local),
            train_dataloader=dict(batch_size=16),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        )
    )


@pytest.fixture(scope='module')
def peaks():
    """Peaks of the kinds of step without recomputing, with one boundary."""
    steps = dry_config_steps(config(boundaries=['layer2.0'], recompute='none'))
    return {step.kind: step.peak.total for step in steps}


def test_auto_recomputes_in_global_steps_what_the_cap_needs(peaks):
    cap = int(0.75 * peaks['global'])
    cfg = config(cap, recompute='auto')
    cfg = set_fit(cfg, fit_two(cfg))
    steps = dry_config_steps(cfg)
    assert [step.kind for step in steps] == ['local', 'global']
    assert all(step.peak.total <= cap for step in steps)
    groups = cfg.model.local.schedule.recompute
    assert {group.end for group in groups} >= set(cfg.model.local.boundaries)
    assert any(group.saved != 'all' for group in groups)


def test_a_cap_that_leaves_room_recomputes_nothing_in_global_steps(peaks):
    cfg = resolve(config(2 * peaks['global'], recompute='auto'))
    assert len(cfg.model.local.boundaries) == 1  # end-to-end training has no local steps
    assert {group.saved for group in cfg.model.local.schedule.recompute} == {'all'}


def test_a_global_step_that_exceeds_the_cap_is_explained(peaks):
    cap = int(0.82 * peaks['global'])
    message = r"of a step of the kind 'global'.* fits with local.schedule.recompute='\w+'"
    with pytest.raises(ValueError, match=message):
        fit_two(config(cap, local_recompute='none', recompute='none'))


def fit_two(cfg):
    return fit_cap(cfg, read_local_settings(cfg.model.local), range(2, 3))


def test_a_crop_that_fits_is_named(peaks):
    cap = int(0.4 * peaks['global'])
    with pytest.raises(ValueError, match=r'with a crop of 32x32'):
        fit_two(config(cap, recompute='none'))


def test_auto_needs_a_cap():
    with pytest.raises(ValueError, match=r"schedule\.recompute='auto' is what local.memory_cap"):
        dry_config_steps(config(boundaries=['layer2.0'], recompute='auto'))
