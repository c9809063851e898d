"""Measurements of a config that an earlier command has made, looked up by all they depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmseg.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS

from ..files.cache import cache_folder, keep, recall
from ..files.plain import from_plain, to_plain
from ..local.context import CONTEXTS
from ..local.schedule import SCHEDULES
from .walk import walk

OWN = __name__.partition('.')[0]
REGISTRIES = (
    *(MODELS, OPTIMIZERS, OPTIM_WRAPPERS, OPTIM_WRAPPER_CONSTRUCTORS),
    *(SCHEDULES, CONTEXTS),
)
"""Of what a type in a config may name."""
PACKAGES = (OWN, 'mmseg', 'mmengine', 'mmcv', 'mmpretrain', 'timm', 'bitsandbytes', 'torchao')
"""Whose files measurements depend on; of torch it is the version."""


def recalled(kind: Any, inputs: tuple[Any, ...], measure: Callable[[], Any]) -> Any:
    """Return what was measured before for these inputs; measure it if nothing was.

    Nothing is kept of models that consist of other code than that of :data:`PACKAGES`, whose next
    version may be called the same.

    Args:
        kind: Type of the measurement: a record, or a list of records.
        inputs: All that it depends on, configs and plain values.
        measure: Measures.
    """
    key = _key(inputs) if cache_folder() is not None else None
    if key is None:
        return measure()
    found = recall(key)
    if found is not None:
        try:
            return from_plain(kind, found)
        except ValueError as error:
            MMLogger.get_current_instance().warning(f'{key} of the cache is ignored: {error}')
    measured = measure()
    keep(key, to_plain(measured))
    return measured


def _key(inputs: tuple[Any, ...]) -> str | None:
    """Return the digest of inputs; None if they are not all that a measurement depends on."""
    try:
        content = json.dumps([_canonical(item) for item in inputs], sort_keys=True)
    except _ForeignError:
        return None
    return hashlib.sha256((content + _code()).encode()).hexdigest()[:40]


class _ForeignError(Exception):
    """What a measurement depends on cannot be written down."""


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        for _, part in walk(value):
            _check_known(part.get('type'))
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, type):
        _check_known(value)
        return f'{value.__module__}.{value.__qualname__}'
    text = repr(value)
    if ' at 0x' in text:
        raise _ForeignError
    return text


def _check_known(kind: Any) -> None:
    for found in [kind] if isinstance(kind, type) else _registered(kind):
        if found.__module__.partition('.')[0] not in (*PACKAGES, 'torch', 'numpy', 'builtins'):
            raise _ForeignError


def _registered(kind: Any) -> Iterator[Any]:
    for registry in REGISTRIES:
        found = registry.get(kind) if isinstance(kind, str) else None
        if found is not None:
            yield found


@cache
def _code() -> str:
    """Return a digest of the code that measures and is measured.

    Of our own files it is their content, of others' packages their sizes and times: they may be
    checkouts that their user changes.
    """
    digest = hashlib.sha256(torch.__version__.encode())
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for file in _sources(str(Path(spec.origin).parent)):
            if package == OWN:
                digest.update(Path(file).read_bytes())
            else:
                stat = os.stat(file)
                digest.update(f'{file} {stat.st_size} {stat.st_mtime_ns}'.encode())
    return digest.hexdigest()


def _sources(folder: str) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir() and not entry.name.startswith('.'):
            yield from _sources(entry.path)
        elif entry.name.endswith('.py'):
            yield entry.path
