"""Checkpoints say which method of local learning they were trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..config.walk import type_name
from ..local.settings import default_heads

KEY = 'local_method'
"""Of the text in a checkpoint's ``meta``."""
OF_A_RUN = ('max_iters', 'recompute')
"""What of a schedule does not make it another one."""


@HOOKS.register_module()
class MethodHook(Hook):
    """Saves the method of a model with local modules, so that a resume goes on with the same.

    The checkpoint's ``meta`` gets it as text, see :func:`describe_method`.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the method to the checkpoint (main process only)."""
        local = (runner.cfg.get('model') or {}).get('local')
        if local is not None:
            checkpoint['meta'][KEY] = json.dumps(describe_method(local))


def describe_method(local: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of ``model.local`` makes a method: which heads where, passes and context.

    Weights of losses are left out, and with one module all.
    """
    if local.get('boundaries') == []:
        return {}
    heads = local.get('heads') or default_heads()
    schedule, context = local.get('schedule') or dict(type='Local'), local.get('context')
    passes = {key: value for key, value in schedule.items() if key not in OF_A_RUN}
    return dict(
        heads=[_named(head, ('name', 'at')) for head in heads],
        schedule=_named(schedule, passes),
        context=None if context is None else _named(context, context),
    )


def _named(cfg: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    kept = {key: cfg[key] for key in keys if key in cfg and key != 'type'}
    return json.loads(json.dumps({'type': type_name(cfg), **kept}, default=str))


def check_same_method(local: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Check that a run goes on with the method of its checkpoint; older ones do not say theirs.

    Raises:
        ValueError: It is another one.
    """
    saved = (checkpoint.get('meta') or {}).get(KEY)
    if saved is None:
        return
    before, now = json.loads(saved), describe_method(local)
    different = [key for key in ('heads', 'schedule', 'context') if before.get(key) != now.get(key)]
    if different:
        key = different[0]
        raise ValueError(
            f'the checkpoint was trained with model.local.{key}={before.get(key)}, and the config '
            f'has {now.get(key)}: resume with the config that the run has dumped in its work dir, '
            'or start another run from its weights (--work-dir, load_from, '
            'model.local.warm_start=True)'
        )
