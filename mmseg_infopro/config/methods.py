"""Methods of local learning by name: which heads, schedule and context a config gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config, ConfigDict

from ..local.infopro_heads import DEFAULT, default_heads, in_form

METHOD_KEYS = ('heads', 'schedule', 'context')
"""What of ``model.local`` a method sets; everything else is how it is run."""


@dataclass(frozen=True)
class Method:
    """One method, as ``model.local`` has it.

    Attributes:
        summary: In a line, what it does.
        formula: Of the loss of module k, with its output ``h``, labels ``y`` and image ``x``.
        source: Of the method.
        when: What it is good for.
        heads: Its local heads; None are InfoPro's.
        schedule: Its passes; one for each module if not given.
        context: What is added to the inputs of modules; nothing if not given.
    """

    summary: str
    formula: str
    source: str
    when: str
    heads: Sequence[Mapping[str, Any]] | None = None
    schedule: Mapping[str, Any] | None = None
    context: Mapping[str, Any] | None = None


METHODS: dict[str, Method] = {}
"""All methods by name. A package may add its own: ``METHODS['mine'] = Method(...)``."""


def find_method(name: str) -> Method:
    """Return a method.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in METHODS:
        near = get_close_matches(name, METHODS, 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(f'method must be one of {", ".join(METHODS)}, got {name!r}{hint}')
    return METHODS[name]


def check_heads_of_method(method: str, heads: str | Sequence[Mapping[str, Any]] | None) -> None:
    """Check that heads beside a method are a form of its own.

    Raises:
        ValueError: There is no such method, or it has other heads.
    """
    found = find_method(method)
    own = default_heads() if found.heads is None else found.heads
    has_forms = method != 'e2e' and in_form(own, 'paper') != own
    if heads is None or (isinstance(heads, str) and has_forms):
        return
    if isinstance(heads, str):
        raise ValueError(
            f"heads={heads!r} is a form of InfoPro's local heads, which method={method!r} does not "
            'have: leave out one'
        )
    raise ValueError(f'heads and method={method!r} both name local heads: leave out one')


def use_method(cfg: Config, name: str, heads: str = DEFAULT) -> None:
    """Put a method in place of a local config's heads, schedule and context.

    Args:
        cfg: Changed in place.
        name: Of the method.
        heads: The form of those heads of the method that are InfoPro's: ``'fitted'`` or
            ``'paper'``.

    Raises:
        ValueError: There is no such method.
    """
    method = find_method(name)
    for key in METHOD_KEYS:
        cfg.model.local.pop(key, None)
        value = deepcopy(getattr(method, key))
        if key == 'heads':
            value = in_form(default_heads() if value is None else value, heads)
        if isinstance(value, Mapping):
            cfg.model.local[key] = ConfigDict(value)
        elif value is not None:
            cfg.model.local[key] = [ConfigDict(head) for head in value]
