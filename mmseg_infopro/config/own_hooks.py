"""Hooks of ours in place of mmengine's, and beside them, so that a fault costs no run."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS

from .walk import type_name

PACKAGE = __name__.partition('.')[0]
SAFETY = ('NonFiniteHook', 'StopHook', 'MadeUpValidationHook')
"""For every run: it stops at losses that are no numbers, and at signals so that it can resume."""
LOCAL = ('RNGStateHook', 'PartialGradientsHook', 'FirstStepCheckHook', 'MethodHook', 'ThawHook')
"""For local modules: an exact resume, and the check of the first update."""


def use_own_hooks(cfg: Config) -> None:
    """Set :class:`WholeCheckpointHook` in place of mmengine's, and add what is missing, in place.

    A pipeline of local modules gets :class:`PipelineInfoHook` for what it logs.

    Hooks that a config has already, and classes derived from mmengine's, stay as they are.
    """
    default = cfg.get('default_hooks') or ConfigDict()
    default.setdefault('checkpoint', dict(type='CheckpointHook'))  # as mmengine does
    if (cfg.model.get('local') or {}).get('placement') == 'pipeline':
        default['runtime_info'] = dict(type='PipelineInfoHook')
    cfg.default_hooks = default
    hooks = list(cfg.get('custom_hooks') or [])
    for hook in [default['checkpoint'], *hooks]:
        if isinstance(hook, dict) and _is_plain(hook.get('type')):
            hook['type'] = 'WholeCheckpointHook'
    present = {type_name(hook) for hook in hooks if isinstance(hook, dict)}
    wanted = (*LOCAL, *SAFETY) if 'local' in cfg.model else SAFETY
    cfg.custom_hooks = hooks + [dict(type=name) for name in wanted if name not in present]
    _import_package(cfg)


def draw_pictures(cfg: Config, num_images: int) -> None:
    """Add a :class:`PicturesHook` to a config, in place, or set that which it has.

    Raises:
        ValueError: ``num_images`` is not positive.
    """
    if num_images < 1:
        raise ValueError(f'--pictures must be at least 1, got {num_images}')
    own = dict(type='PicturesHook', num_images=num_images)
    hooks = list(cfg.get('custom_hooks') or [])
    others = [h for h in hooks if not (isinstance(h, dict) and type_name(h) == own['type'])]
    cfg.custom_hooks = [*others, own]


def _is_plain(kind: Any) -> bool:
    return kind is CheckpointHook or (
        isinstance(kind, str) and HOOKS.get(kind.rpartition('.')[2]) is CheckpointHook
    )


def _import_package(cfg: Config) -> None:
    """Let the dumped config import this package, whose hooks it names."""
    imports = dict(cfg.get('custom_imports') or dict(allow_failed_imports=False))
    modules = imports.get('imports') or []
    modules = [modules] if isinstance(modules, str) else list(modules)
    if PACKAGE not in modules:
        cfg.custom_imports = dict(imports, imports=[*modules, PACKAGE])
