"""A run is resumed with the method that it began with."""

import json

import pytest
from mmengine.config import Config, ConfigDict

from mmseg_infopro import localize
from mmseg_infopro.config.methods import METHODS
from mmseg_infopro.config.same_method import KEY, check_same_method, method_record
from mmseg_infopro.local.infopro_heads import default_heads
from mmseg_infopro.local_heads import ReconstructionHead
from tests.models import HEADS, model_config

LOCAL = dict(boundaries=['layer2.1'], heads=HEADS, schedule=dict(type='PeriodicGlobal', period=4))


def saved(local):
    text = json.dumps(method_record(ConfigDict(local), local['boundaries']))
    return dict(meta=dict(iter=1, **{KEY: text}))


@pytest.mark.parametrize(
    'change',
    [
        dict(recompute='cheap', update_per_module=True, memory_margin='1GiB'),
        dict(schedule=dict(type='PeriodicGlobal', period=4, recompute='cheap', max_iters=7)),
        dict(heads=[HEADS[0], dict(HEADS[1], loss_weight=0.1)]),
        dict(heads=[HEADS[0], dict(HEADS[1], type=ReconstructionHead, downscale=1)]),
        dict(heads=[dict(HEADS[0], type='ChunkedFCNHead', kernel_size=3), HEADS[1]]),
        dict(heads=[dict(HEADS[0], loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.1)),
                    HEADS[1]]),
    ],
)  # fmt: skip
def test_weights_and_how_a_method_is_run_may_change(change):
    check_same_method({**LOCAL, **change}, saved(LOCAL))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(heads=HEADS[:1]), r'trained with model\.local\.heads=.*ReconstructionHead'),
        (dict(heads=[HEADS[0], dict(HEADS[1], at=[0])]), r'model\.local\.heads'),
        (dict(heads=[HEADS[0], dict(HEADS[1], downscale=2)]), r"the config has .*'downscale': 2"),
        (dict(schedule=dict(type='Local')), r'schedule=.*PeriodicGlobal.* the config has .*Local'),
        (dict(schedule=dict(type='PeriodicGlobal', period=8)), r"'period': 4"),
        (dict(context=dict(type='ContextSupply')), r'model\.local\.context=None'),
        (dict(boundaries=['layer3.0']), r"'layer2.1'\] \(K=2\), and the config has .*'layer3.0'"),
        (dict(boundaries=[]), r'the config has no boundaries \(K=1'),
    ],
)
def test_another_method_or_partition_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_same_method({**LOCAL, **change}, saved(LOCAL))


def test_arguments_of_a_head_make_another_method():
    man, stages = ({**LOCAL, 'heads': METHODS[name].heads} for name in ('man', 'manpp'))
    check_same_method({**LOCAL, 'heads': [dict(type='MomentumHead')]}, saved(man))
    with pytest.raises(ValueError, match=r"the config has .*'scaled': True.*: resume"):
        check_same_method(stages, saved(man))


def test_every_method_is_another_one():
    cfg = Config(dict(model=model_config()))
    locals_ = {
        name: localize(cfg, boundaries=['layer2.1'], method=name).model.local
        for name in METHODS
        if name != 'e2e'
    }
    for name, local in locals_.items():
        for other, resumed in locals_.items():
            if name == other:
                check_same_method(resumed, saved(local))
            else:
                with pytest.raises(ValueError, match=r'was trained with model\.local'):
                    check_same_method(resumed, saved(local))


def test_end_to_end_training_does_not_go_on_from_local_modules():
    with pytest.raises(ValueError, match=r'the config has no boundaries \(K=1, end-to-end\)'):
        check_same_method(None, saved(LOCAL))
    one = {**LOCAL, 'boundaries': []}
    check_same_method(None, saved(one))
    check_same_method({**one, 'heads': HEADS[:1]}, saved(one))


def test_defaults_are_a_method_too_and_older_checkpoints_say_nothing():
    plain = dict(boundaries=['layer2.1'])
    check_same_method({**plain, 'schedule': dict(type='Local')}, saved(plain))
    check_same_method({**plain, 'heads': default_heads()}, saved(plain))
    check_same_method(LOCAL, dict(meta=dict(iter=1)))
    check_same_method(LOCAL, {})
