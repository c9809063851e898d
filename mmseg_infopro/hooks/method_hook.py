"""Checkpoints say which method of local learning they were trained with."""

from __future__ import annotations

import json
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..config.same_method import KEY, method_record
from .unwrapped import unwrapped


@HOOKS.register_module()
class MethodHook(Hook):
    """Saves the method of a model with local modules, so that a resume goes on with the same.

    The checkpoint's ``meta`` gets it as text, see :func:`~.same_method.method_record`.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the method to the checkpoint (main process only)."""
        local = (runner.cfg.get('model') or {}).get('local')
        if local is not None:
            record = method_record(local, unwrapped(runner.model).boundaries)
            checkpoint['meta'][KEY] = json.dumps(record)
