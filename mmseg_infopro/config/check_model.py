"""The arguments of a model's parts: texts where numbers belong, which some accept in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .build import model_class
from .check_parts import argument_types, arguments_of, misfit
from .walk import type_name, walk


def check_model_parts(model: Mapping[str, Any]) -> None:
    """Check the arguments of all parts of a model whose classes are known.

    Raises:
        ValueError: A value is a text or a list where its class takes a number, True or False.
    """
    for place, part in walk(model, 'model'):
        kind = model_class(part) if 'type' in part else None
        if kind is None or place.startswith('model.local'):
            continue
        takes, hints = arguments_of(kind), argument_types(kind)
        for key, value in part.items():
            if key not in takes:
                continue
            must = misfit(value, hints.get(key), takes[key].default)
            if must:
                raise ValueError(
                    f'{place} ({type_name(part)}): {key} must be {must}, got {value!r}'
                )
