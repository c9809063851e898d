"""Checkpoints say which method they were trained with."""

import json
from types import SimpleNamespace

from mmengine.config import ConfigDict

from mmseg_infopro.config.same_method import KEY
from mmseg_infopro.hooks.method_hook import MethodHook
from mmseg_infopro.local_heads import ReconstructionHead


def saved(local):
    checkpoint = dict(meta=dict(iter=1))
    cfg = dict(model=ConfigDict(type='EncoderDecoder', **local))
    runner = SimpleNamespace(cfg=cfg, model=SimpleNamespace(boundaries=('layer2.1',)))
    MethodHook().before_save_checkpoint(runner, checkpoint)
    return checkpoint['meta']


def test_a_checkpoint_holds_the_settings_as_text_with_the_boundaries_of_the_model():
    heads = [dict(type=ReconstructionHead, hidden_channels=(4,)), dict(type='mmseg.FCNHead')]
    schedule = dict(type='Overlapping', first=0)
    local = dict(num_modules=2, heads=heads, schedule=schedule, recompute='cheap')
    assert json.loads(saved(dict(local=local))[KEY]) == dict(
        boundaries=['layer2.1'],
        heads=[dict(type='ReconstructionHead', hidden_channels=[4]), dict(type='FCNHead')],
        schedule=schedule,
        context=None,
    )


def test_a_model_without_local_modules_has_none():
    assert saved({}) == dict(iter=1)
