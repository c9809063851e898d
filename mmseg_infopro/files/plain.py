"""Frozen records as plain values that JSON can write, and back again."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Return a record, or a list of some, as dicts and lists."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: Any, value: Any) -> Any:
    """Return what :func:`to_plain` was given.

    Args:
        kind: Its type: ``list[DryStep]``.
        value: What it returned.

    Raises:
        ValueError: The value is of another type.
    """
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        of = tuple(option for option in of if option is not NoneType)
        return None if value is None else from_plain(of[0], value)
    if origin in (list, tuple) and isinstance(value, list):
        if of[0] in (int, str):  # the long ones
            return origin(value)
        return origin(from_plain(of[0], item) for item in value)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        hints = _hints(kind)
        if set(hints) == set(value):
            return kind(**{name: from_plain(hints[name], value[name]) for name in hints})
    elif kind in (int, float, str, bool) and isinstance(value, kind):
        return value
    raise ValueError(f'{kind} cannot be read from {str(value)[:50]!r}')


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
