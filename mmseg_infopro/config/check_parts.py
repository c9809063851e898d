"""Whatever a Runner would build is looked at first: its type, its arguments and their values."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from numbers import Number
from typing import Any, Union, get_args, get_origin, get_type_hints

from mmcv.transforms import RandomChoiceResize, RandomResize
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.registry import MODELS, Registry
from mmengine.runner import Runner
from mmseg.evaluation import IoUMetric
from mmseg.registry import OPTIMIZERS, TRANSFORMS

from ..local.eight_bit import needed_package
from ..local_heads.arguments import constructor_arguments
from .parts import Part
from .trial import try_part
from .walk import type_name

OWN_KEYS = ('type', '_scope_')
CATCH_ALL = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
HANDED_ON: dict[type, tuple[str, str, Registry]] = {
    EMAHook: ('ema_type', 'ExponentialMovingAverage', MODELS),
    RandomResize: ('resize_type', 'Resize', TRANSFORMS),
    RandomChoiceResize: ('resize_type', 'Resize', TRANSFORMS),
}
"""Classes that build another one with what they do not take themselves: its type, and where."""
CLOSE = 0.8
"""How alike an unknown key and a known one must be, for a class that takes any key."""


def check_parts(parts: Iterable[Part]) -> None:
    """Check parts of a config by what would build them.

    Raises:
        ValueError: A type is not known, an argument does not exist, is missing or is not what it
            must be; the message names the place.
    """
    for part in parts:
        kind = find_type(part)
        place = f'{part.place} ({type_name(part.cfg) if "type" in part.cfg else part.default})'
        check_arguments(part, kind, place)
        if isinstance(kind, type):
            try_part(part, kind, place)


def find_type(part: Part) -> Callable[..., Any]:
    """Return what builds a part.

    Raises:
        ValueError: There is no such type.
    """
    kind = part.cfg.get('type', part.default)
    if kind is None:
        raise ValueError(f'{part.place} has no type: it must be a dict(type=..., ...)')
    found = part.registry.get(kind) if isinstance(kind, str) else kind
    if not callable(found):
        needed = needed_package(kind) if part.registry is OPTIMIZERS else None
        if needed is not None:
            raise ValueError(f'{part.place}: {needed}')
        near = get_close_matches(str(kind), registered(part.registry), 1)
        hint = f'did you mean {near[0]}, or ' if near else ''
        raise ValueError(
            f'{part.place}: there is no {part.registry.name} {kind!r}; {hint}is its module in '
            'custom_imports?'
        )
    return found


def registered(registry: Registry | None) -> list[str]:
    """Return the names in a registry and in its parents."""
    names: list[str] = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def check_arguments(part: Part, kind: Callable[..., Any], place: str) -> None:
    """Check that a constructor takes what a part gives, and gets what it needs.

    Raises:
        ValueError: It does not.
    """
    takes = arguments_of(kind)
    named = {key: item for key, item in takes.items() if item.kind not in CATCH_ALL}
    handed_on = hands_on(kind, part.cfg)
    known = [*named, *(handed_on or ()), *part.extra, *OWN_KEYS]
    takes_any = handed_on is None and any(
        item.kind is inspect.Parameter.VAR_KEYWORD for item in takes.values()
    )
    own = inspect.signature(kind).parameters.values()
    is_alone = all(item.kind not in CATCH_ALL for item in own)  # no parent gets anything from it
    for key in part.cfg:
        if key in known or not isinstance(key, str):
            continue
        near = did_you_mean(key, [name for name in known if name != 'self'])
        if not takes_any or near:
            raise ValueError(f'{place} takes no {key}{near or "; " + _list(named, part)}')
    for key, item in named.items():
        required = item.default is inspect.Parameter.empty and key not in ('self', 'cls')
        if is_alone and required and key not in part.cfg and key not in part.given:
            raise ValueError(f'{place} needs {key}')
    hints = argument_types(kind)
    for key, value in part.cfg.items():
        if key in named:
            must = misfit(value, hints.get(key), named[key].default)
            if must:
                raise ValueError(f'{place}: {key} must be {must}, got {value!r}')


def arguments_of(kind: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what a class or function takes; an open ``**kwargs`` is among it."""
    if isinstance(kind, type):
        return constructor_arguments(kind) if '__init__' in dir(kind) else {}
    return dict(inspect.signature(kind).parameters)


def did_you_mean(key: str, known: Iterable[str], cutoff: float = CLOSE) -> str:
    """Return a question about a key that is nearly another one, to end a sentence."""
    near = get_close_matches(key, sorted(set(known)), 1, cutoff)
    return f': did you mean {near[0]}?' if near else ''


def hands_on(kind: Any, cfg: Mapping[str, Any]) -> list[str] | None:
    """Return what a class takes beside its own arguments; None if that is not known."""
    if not isinstance(kind, type):
        return None
    if issubclass(kind, CheckpointHook):
        return list(inspect.signature(Runner.save_checkpoint).parameters)
    if kind is IoUMetric:
        return []
    for parent, (key, default, registry) in HANDED_ON.items():
        if kind is parent:
            named = cfg.get(key, default)
            inner = registry.get(named) if isinstance(named, str) else named
            return list(arguments_of(inner)) if inner is not None else None
    return None


def _list(named: Mapping[str, Any], part: Part) -> str:
    own = [key for key in named if key not in ('self', 'cls', *part.given)]
    return f'it takes {", ".join(own) or "no arguments"}'


def argument_types(kind: Any) -> dict[str, Any]:
    """Return the types that a constructor and those of its parents are annotated with."""
    found: dict[str, Any] = {}
    for parent in getattr(kind, '__mro__', ()):
        if '__init__' in vars(parent):
            try:
                hints = get_type_hints(vars(parent)['__init__'])
            except Exception:  # names that are only there for type checkers
                continue
            found = {**hints, **found}
    return found


def misfit(value: Any, hint: Any, default: Any) -> str | None:
    """Return what a value must be in its place: where that is sure; None where it may fit.

    Args:
        value: What is given.
        hint: Its annotation, if there is one.
        default: Without the value.
    """
    if hint is None:
        is_number = isinstance(default, (int, float)) and not isinstance(default, bool)
        if is_number and isinstance(value, str):
            return 'a number'
        return 'True or False' if isinstance(default, bool) and isinstance(value, str) else None
    kinds = set(_members(hint))
    if Number in kinds:
        kinds = {*kinds - {Number}, int, float}
    if not kinds <= {int, float, bool, type(None)}:
        return None
    if isinstance(value, str):
        return 'True or False' if bool in kinds and not kinds & {int, float} else 'a number'
    is_whole = kinds & {int, float} == {int}
    if is_whole and type(default) is int and isinstance(value, float):
        return 'a whole number'
    return 'a number' if isinstance(value, (list, tuple, Mapping)) else None


def _members(hint: Any) -> list[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        return [member for item in get_args(hint) for member in _members(item)]
    return [hint]
