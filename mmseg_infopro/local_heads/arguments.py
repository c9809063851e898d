"""What a class's constructor takes."""

from __future__ import annotations

import inspect


def constructor_arguments(kind: type) -> dict[str, inspect.Parameter]:
    """Return what a class's constructor takes by name, through the ``**kwargs`` of its parents."""
    arguments: dict[str, inspect.Parameter] = {}
    for parent in kind.__mro__:
        if '__init__' not in vars(parent):
            continue
        parameters = inspect.signature(vars(parent)['__init__']).parameters
        arguments = {**parameters, **arguments}
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            break
    return arguments
