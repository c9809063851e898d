"""Measurements that an earlier command has made: found for the same step, and for no other."""

from dataclasses import replace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from torch import nn

from mmseg_infopro.config import recall, step
from mmseg_infopro.config.explain import FailedStepError
from mmseg_infopro.config.fit_cap import measure_config
from mmseg_infopro.config.recall import recalled
from mmseg_infopro.config.step import dry_config_steps
from mmseg_infopro.files import cache
from mmseg_infopro.local import schedules
from mmseg_infopro.local.context import CONTEXTS
from mmseg_infopro.local.schedule import SCHEDULES
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.measure.peaks import PeakBytes
from tests.models import model_config

SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))


def config(**local):
    model = model_config(local=local or dict(boundaries=['layer2.1']))
    return Config(dict(model=model, optim_wrapper=SGD, train_dataloader=dict(batch_size=2)))


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', found.append)
    return found


def test_what_is_recalled_is_what_was_measured(monkeypatch):
    cfg = config()
    settings = read_local_settings(cfg.model.local)
    steps, units = dry_config_steps(cfg), measure_config(cfg, settings)
    monkeypatch.setattr(step, 'dry_steps', None)
    monkeypatch.setattr('mmseg_infopro.config.fit_cap.measure_step', None)
    assert dry_config_steps(config()) == steps
    assert measure_config(config(), settings) == units
    with pytest.raises(FailedStepError):
        measure_config(config(), replace(settings, recompute='cheap'))
    with pytest.raises(FailedStepError):
        dry_config_steps(config(boundaries=['layer3.0']))


@pytest.mark.parametrize(
    'other',
    [
        dict(model=dict(type='FCNHead', channels=9), shape=(1, 2)),
        dict(model=dict(type='FCNHead', channels=8), shape=(2, 1)),
        dict(model=dict(type='FCNHead', channels=8, norm=torch.nn.BatchNorm2d), shape=(1, 2)),
        dict(model=dict(type='FCNHead', channels='8'), shape=(1, 2)),
    ],
)
def test_anything_else_is_measured(other):
    inputs = dict(model=dict(type='FCNHead', channels=8), shape=(1, 2))
    assert recalled(int, (inputs,), lambda: 5) == 5
    assert recalled(int, (inputs,), lambda: 6) == 5
    assert recalled(int, (other,), lambda: 6) == 6


def test_other_code_is_measured(monkeypatch):
    assert recalled(int, ('a',), lambda: 5) == 5
    monkeypatch.setattr(recall, '_code', lambda: 'changed')
    assert recalled(int, ('a',), lambda: 6) == 6


def test_a_record_of_another_version_is_ignored_with_a_notice(folder, warnings):
    recalled(int, ('a',), lambda: 5)
    peak = PeakBytes(4, 1, 1, 1)
    assert recalled(PeakBytes, ('a',), lambda: peak) == peak
    assert 'cannot be read from' in str(warnings)
    assert recalled(PeakBytes, ('a',), lambda: 6) == peak


@pytest.mark.parametrize(
    ('registry', 'parent'), [(SCHEDULES, schedules.Local), (CONTEXTS, nn.Module)]
)
def test_nothing_is_kept_of_a_users_own_schedule_or_context(folder, registry, parent):
    own = type('Own', (parent,), {})
    registry.register_module(module=own, force=True)
    try:
        assert recalled(int, (dict(local=dict(schedule=dict(type='Own'))),), lambda: 5) == 5
    finally:
        registry.module_dict.pop('Own')
    assert not list(folder.iterdir())


def test_nothing_is_kept_of_a_users_own_code(folder):
    class OwnHead(FCNHead):
        pass

    MODELS.register_module(module=OwnHead, force=True)
    try:
        for kind in ('OwnHead', 'mmseg.OwnHead', OwnHead, lambda: OwnHead):
            assert recalled(int, (dict(model=dict(head=dict(type=kind))),), lambda: 5) == 5
    finally:
        MODELS.module_dict.pop('OwnHead')
    assert not list(folder.iterdir())
