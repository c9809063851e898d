"""Through any nest of configs: every mapping in it, and a copy with other ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

DROPPED = object()
"""What a change returns for a mapping that is to leave the list or mapping which holds it."""
SYNCHRONIZED = ('SyncBN', 'MMSyncBN', 'SyncBatchNorm')
"""Norm layers whose statistics are of all processes, by name or by class."""


def walk(value: Any, path: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every mapping in a nest of mappings, lists and tuples, and where it is.

    Args:
        value: The nest; each mapping comes before those in it.
        path: Of the nest itself; ``'model'`` makes ``'model.neck[0].norm_cfg'``.
    """
    if isinstance(value, Mapping):
        yield path, value
        for key, item in value.items():
            yield from walk(item, f'{path}.{key}' if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from walk(item, f'{path}[{index}]')


def replaced(value: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    """Return a copy of a nest of mappings, lists and tuples with its mappings changed.

    Args:
        value: The nest; it stays as it is.
        change: Takes a new mapping, in which those within are changed already, and returns what
            stands in its place: itself, anything else, or :data:`DROPPED`.
    """
    if isinstance(value, Mapping):
        items = {key: replaced(item, change) for key, item in value.items()}
        kept = {key: item for key, item in items.items() if item is not DROPPED}
        return change(type(value)(kept))  # type: ignore[call-arg, arg-type]
    if isinstance(value, (list, tuple)):
        items_in_order = (replaced(item, change) for item in value)
        return type(value)(item for item in items_in_order if item is not DROPPED)
    return value


def type_name(cfg: Mapping[str, Any]) -> str:
    """Return the class name in a config's ``type``: a name, one with its scope, or a class."""
    kind = cfg.get('type')
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]
