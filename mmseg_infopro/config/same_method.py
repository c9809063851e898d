"""Whether a run goes on with the method of local learning that its checkpoint was trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any

from mmengine.registry import Registry
from mmseg.registry import MODELS

from ..local.context import CONTEXTS
from ..local.infopro_heads import DEFAULT, read_heads
from ..local.names import describe_partition
from ..local.schedule import SCHEDULES
from ..local_heads.arguments import constructor_arguments
from ..local_heads.chunking import unchunked
from .walk import replaced, type_name

KEY = 'local_settings'
"""Of the text in a checkpoint's ``meta``."""
LOSS_WEIGHT = 'loss_weight'
OF_A_RUN = ('max_iters', 'recompute')
"""What of a schedule does not make it another one."""
PARTS: dict[str, tuple[Registry, tuple[str, ...]]] = {
    'heads': (MODELS, (LOSS_WEIGHT,)),
    'schedule': (SCHEDULES, OF_A_RUN),
    'context': (CONTEXTS, ()),
}
"""What makes a method, where its classes are, and which of their arguments may change."""
REMEDY = (
    'resume with the config that the run has dumped in its work dir, or start another run from '
    'its weights (--work-dir, load_from, model.local.warm_start=True)'
)


def method_record(local: Mapping[str, Any], boundaries: Sequence[str]) -> dict[str, Any]:
    """Return what of ``model.local`` makes a method, as plain data, classes by their names.

    Args:
        local: The setting.
        boundaries: The model's, which ``local`` may leave to a plan.
    """
    record = dict(
        boundaries=list(boundaries),
        heads=read_heads(local.get('heads') or DEFAULT),
        schedule=local.get('schedule') or dict(type='Local'),
        context=local.get('context'),
    )
    return _plain(record)


def check_same_method(local: Mapping[str, Any] | None, checkpoint: Mapping[str, Any]) -> None:
    """Check that a run goes on with its checkpoint's method; older ones do not say theirs.

    Weights of losses may change, and how a method is run: what is recomputed, chunked, or updated
    when, and how long. With one module on both sides there is no method.

    Args:
        local: With boundaries; None for end-to-end training.
        checkpoint: To resume from.

    Raises:
        ValueError: It is another method or partition.
    """
    saved = (checkpoint.get('meta') or {}).get(KEY)
    if saved is None:
        return
    before = json.loads(saved)
    now = method_record(local or {}, (local or {}).get('boundaries') or [])
    if before['boundaries'] != now['boundaries']:
        raise ValueError(
            f'the checkpoint was trained with {describe_partition(before["boundaries"])}, and the '
            f'config has {describe_partition(now["boundaries"])}: {REMEDY}'
        )
    for part, (registry, unimportant) in PARTS.items() if now['boundaries'] else ():
        old, new = (_essence(record.get(part), registry, unimportant) for record in (before, now))
        if old != new:
            raise ValueError(
                f'the checkpoint was trained with model.local.{part}={old}, and the config has '
                f'{new}: {REMEDY}'
            )


def _named(cfg: dict[str, Any]) -> dict[str, Any]:
    """Name a class without its scope, and without the chunks that its loss is computed in."""
    return unchunked({**cfg, 'type': type_name(cfg)}) if 'type' in cfg else cfg


def _essence(value: Any, registry: Registry, unimportant: Sequence[str]) -> Any:
    """Return a nest of configs without what may change, and what a class takes by default."""

    def essential(cfg: dict[str, Any]) -> dict[str, Any]:
        return {
            key: item
            for key, item in cfg.items()
            if key not in unimportant and not _is_default(cfg.get('type'), key, item, registry)
        }

    return replaced(value, essential)


def _is_default(kind: Any, key: str, item: Any, registry: Registry) -> bool:
    """Whether a class takes this argument anyway; ``item`` is without what is of no matter."""
    found = registry.get(kind) if isinstance(kind, str) and key != 'type' else None
    argument = constructor_arguments(found).get(key) if isinstance(found, type) else None
    if argument is None or argument.default is Parameter.empty:
        return False
    return item == _essence(_plain(argument.default), registry, (LOSS_WEIGHT,))


def _plain(value: Any) -> Any:
    """Return a nest as JSON gives it back, with classes by their names."""
    return json.loads(json.dumps(replaced(value, _named), default=str))
