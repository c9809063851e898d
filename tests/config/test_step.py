"""The step that a config describes."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmseg.registry import OPTIM_WRAPPERS

from mmseg_infopro.config.step import own_wrapper, updates_per_module
from mmseg_infopro.local.settings import LocalSettings
from mmseg_infopro.local.update import module_updates
from mmseg_infopro.measure.dry_step import DRY_WRAPPERS
from tests.models import build, model_config


@OPTIM_WRAPPERS.register_module()
class OwnStep(OptimWrapper):
    """A wrapper that steps in its own way."""

    def step(self, **kwargs: Any) -> None:
        super().step(**kwargs)


@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(clip_grad=dict(max_norm=1)),
        dict(accumulative_counts=2),
        dict(optimizer=dict(type='LBFGS', lr=0.1)),
        dict(optimizer=dict(type='AdamW', lr=0.1)),
        dict(type='AmpOptimWrapper', loss_scale='dynamic'),
        dict(type='AmpOptimWrapper', loss_scale=dict(enabled=False)),
        dict(type=AmpOptimWrapper, loss_scale='dynamic'),
        dict(type='LocalAmpOptimWrapper', clip_grad=dict(max_norm=1)),
        dict(type='OwnStep'),
        dict(paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)})),
    ],
    ids=str,
)
def test_planning_knows_when_a_step_updates_each_module(changes: dict[str, Any]) -> None:
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)) | changes
    settings = LocalSettings(num_modules=2, update_per_module=True)
    planned = updates_per_module(Config(dict(optim_wrapper=cfg)), settings)
    model = build(model_config(local=dict(boundaries=['layer2.0'], update_per_module=True)))
    own = own_wrapper(Config(dict(optim_wrapper=cfg)), update_per_module=True)
    wrapper = build_optim_wrapper(model, dict(own, type=DRY_WRAPPERS.get(own.type, own.type)))
    assert planned == (module_updates(model, wrapper) is not None)
