"""Configs that a command writes: children of another one, which say what they were planned for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from ..measure.sizes import format_bytes
from ..planning.batch import StepShape
from ..upstream import is_pure_python
from .step import step_shape

KEY = 'planned_for'
"""In ``model.local``: the step that a written config was planned for."""


def inheriting_config(base: Config, name: str, cfg: Config, out: Path) -> str:
    """Return the text of a config that inherits another and adds what makes ``cfg`` local.

    Args:
        base: The other one, as it was read.
        name: Its file, or ``mmseg::name``.
        cfg: Its local form.
        out: Where the text will lie.

    Of a pure Python config it is the whole local form: only another one could inherit from that,
    by importing it as a module.
    """
    if '::' not in name and is_pure_python(name):
        return cfg.pretty_text
    # A local base has a partition of its own, which must not be merged with the new one.
    replace = dict(_delete_=True) if 'local' in base.model else {}
    base_type = base.model.backbone.get('type')
    changes: dict[str, Any] = dict(
        _base_=name if '::' in name else os.path.relpath(name, out.parent),
        custom_imports=cfg.custom_imports,
        model=dict(
            type=cfg.model.type,
            backbone=dict(
                type=cfg.model.backbone.type,
                **_difference(base.model.backbone, {**cfg.model.backbone, 'type': base_type}),
            ),
            local={**replace, **cfg.model.local},
        ),
    )
    for key in ('decode_head', 'auxiliary_head'):
        if cfg.model.get(key) != base.model.get(key):
            changes['model'][key] = _difference(base.model.get(key), cfg.model[key])
    if cfg.get('optim_wrapper') != base.get('optim_wrapper'):
        changes['optim_wrapper'] = _difference(base.get('optim_wrapper'), cfg.optim_wrapper)
    if cfg.get('custom_hooks') != base.get('custom_hooks'):
        changes['custom_hooks'] = cfg.custom_hooks
    return Config(ConfigDict(changes)).pretty_text


def note_plan(cfg: Config, peak_bytes: int) -> None:
    """Write into a config what it is planned for, and the peak that is predicted then."""
    cfg.model.local[KEY] = ConfigDict(**_shown(step_shape(cfg)), peak_bytes=peak_bytes)


def plan_comment(
    cfg: Config, command: Sequence[str], end_to_end: int, cap: str | None = None
) -> str:
    """Return the comment at the top of a config that a command wrote.

    Args:
        cfg: With what :func:`note_plan` wrote.
        command: As it was typed.
        end_to_end: Bytes that end-to-end training needs at most.
        cap: That was asked for.
    """
    plan = cfg.model.local[KEY]
    lines = [
        f'written by: {shlex.join(command)}',
        f'planned for {_sentence(plan)}{f", and a cap of {cap}" if cap else ""}',
        f'predicted peak of tensors: {format_bytes(plan.peak_bytes)}, '
        f'{plan.peak_bytes / end_to_end:.1%} of end-to-end training',
    ]
    return ''.join(f'# {line}\n' for line in lines)


def warn_of_another_step(cfg: Config) -> None:
    """Warn if a config that was planned for one crop and batch trains with another."""
    plan = cfg.model.local.get(KEY)
    shape = _shown(step_shape(cfg)) if plan else {}
    if plan and any(plan[key] != shape[key] for key in shape):
        MMLogger.get_current_instance().warning(
            f'the config was planned for {_sentence(plan)}, and trains with {_sentence(shape)}: '
            f'the predicted peak of {format_bytes(plan["peak_bytes"])} is not that of this run; '
            'write it anew with the command at its top'
        )


def _shown(shape: StepShape) -> dict[str, Any]:
    precision = str(shape.autocast or torch.float32).removeprefix('torch.')
    return dict(batch_size=shape.batch_size, crop=list(shape.crop), precision=precision)


def _sentence(plan: Mapping[str, Any]) -> str:
    height, width = plan['crop']
    return f'batches of {plan["batch_size"]} at {height}x{width} in {plan["precision"]}'


def _difference(base: Any, value: Any) -> Any:
    """Return what a child config says for a value to take the place of its base's."""
    if not isinstance(base, Mapping) or not isinstance(value, Mapping):
        return value
    if set(base) - set(value):
        return dict(_delete_=True, **value)
    changed = {key: item for key, item in value.items() if key not in base or base[key] != item}
    return {key: _difference(base.get(key), item) for key, item in changed.items()}
