"""A run is resumed with the method that it began with."""

import json
from types import SimpleNamespace

import pytest
from mmengine.config import ConfigDict

from mmseg_infopro.hooks.method_hook import KEY, MethodHook, check_same_method
from mmseg_infopro.local_heads import ReconstructionHead
from tests.models import HEADS

LOCAL = dict(boundaries=['layer2.1'], heads=HEADS, schedule=dict(type='PeriodicGlobal', period=4))


def saved(local):
    checkpoint = dict(meta=dict(iter=1))
    runner = SimpleNamespace(cfg=dict(model=dict(local=ConfigDict(local))))
    MethodHook().before_save_checkpoint(runner, checkpoint)
    assert json.loads(checkpoint['meta'][KEY])
    return checkpoint


@pytest.mark.parametrize(
    'change',
    [
        dict(recompute='cheap', update_per_module=True, memory_margin='1GiB'),
        dict(schedule=dict(type='PeriodicGlobal', period=4, recompute='cheap', max_iters=7)),
        dict(heads=[HEADS[0], dict(HEADS[1], loss_weight=0.1)]),
        dict(heads=[HEADS[0], dict(type=ReconstructionHead)]),
    ],
)
def test_how_a_method_is_run_may_change(change):
    check_same_method({**LOCAL, **change}, saved(LOCAL))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(heads=HEADS[:1]), r'trained with model\.local\.heads=.*ReconstructionHead'),
        (dict(heads=[HEADS[0], dict(HEADS[1], at=[0])]), r'model\.local\.heads'),
        (dict(schedule=dict(type='Local')), r'schedule=.*PeriodicGlobal.* the config has .*Local'),
        (dict(schedule=dict(type='PeriodicGlobal', period=8)), r"'period': 4"),
        (dict(context=dict(type='ContextSupply')), r'model\.local\.context=None'),
    ],
)
def test_another_method_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_same_method({**LOCAL, **change}, saved(LOCAL))


def test_defaults_are_a_method_too_and_older_checkpoints_say_nothing():
    plain = dict(boundaries=['layer2.1'])
    check_same_method({**plain, 'schedule': dict(type='Local')}, saved(plain))
    check_same_method(LOCAL, dict(meta=dict(iter=1)))
    check_same_method(LOCAL, {})
