"""Our hooks in place of mmengine's, and beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmseg.registry import HOOKS

from mmseg_infopro.config.own_hooks import LOCAL, SAFETY, use_own_hooks
from mmseg_infopro.hooks import WholeCheckpointHook


def config(**content: Any) -> Config:
    cfg = Config(dict(model=dict(local={}), **content))
    use_own_hooks(cfg)
    return cfg


def names(cfg: Config) -> list[str]:
    return [hook['type'] for hook in cfg.custom_hooks]


def test_our_configs_have_them() -> None:
    cfg = Config.fromfile(Path(__file__).parents[2] / 'configs/_base_/runtime.py')
    assert names(cfg) == [*LOCAL, *SAFETY]
    assert cfg.default_hooks.checkpoint.type == 'WholeCheckpointHook'


@pytest.mark.parametrize('given', [None, [dict(type='RNGStateHook', x=1)]])
def test_what_lacks_is_added(given: Any) -> None:
    cfg = config(custom_hooks=given)
    assert names(cfg) == [*LOCAL, *SAFETY]
    assert given is None or cfg.custom_hooks[0] == given[0]
    assert cfg.custom_imports['imports'] == ['mmseg_infopro']


def test_other_models_get_what_does_not_concern_modules() -> None:
    cfg = Config(dict(model={}, custom_imports=dict(imports=['mine'])))
    use_own_hooks(cfg)
    assert names(cfg) == [*SAFETY]
    assert cfg.custom_imports['imports'] == ['mine', 'mmseg_infopro']


@pytest.mark.parametrize('kind', ['CheckpointHook', 'mmengine.CheckpointHook', CheckpointHook])
def test_mmengines_checkpoint_hook_is_replaced(kind: Any) -> None:
    cfg = config(default_hooks=dict(checkpoint=dict(type=kind, interval=7)))
    assert cfg.default_hooks.checkpoint == dict(type='WholeCheckpointHook', interval=7)


def test_none_and_others_stay() -> None:
    assert config(default_hooks=dict(checkpoint=None)).default_hooks.checkpoint is None
    assert config().default_hooks.checkpoint == dict(type='WholeCheckpointHook')


def test_it_is_registered() -> None:
    hook = HOOKS.build(dict(type='WholeCheckpointHook', interval=3, by_epoch=False))
    assert isinstance(hook, WholeCheckpointHook)
    assert hook.backend_args == dict(backend='atomic')
    assert HOOKS.build(dict(type='WholeCheckpointHook', out_dir='s3://a')).backend_args is None
