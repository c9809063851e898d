"""What is added to the state that a module starts from, and trains with that module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from mmengine.registry import Registry
from torch import Tensor, nn

from ..backbones import Feature, State, numbered_emits
from .carried import Carried, detached
from .modular import Modular
from .names import boundary_key

CONTEXTS = Registry('local context', locations=['mmseg_infopro.local.context_supply'])
"""Contexts by name, for ``local.context=dict(type=...)``."""


class Context(nn.Module):
    """Base of what stands at the entry of one module.

    Its parameters, ``context.*`` in the state dict, belong to the module that it feeds; prediction,
    evaluation and export go through it.

    Args:
        entries: What each module up to this one starts from, as nests of sizes and plain values:
            first that of the image, last that of the state which the context adds to.
    """

    history: int = 0
    """Of how many earlier modules it reads what they started from."""

    def __init__(self, entries: Sequence[Any]) -> None:
        super().__init__()

    def forward(self, state: State, image: Tensor, history: Sequence[State]) -> State:
        """Return what the module starts from.

        Args:
            state: What the module before left; not to be written to.
            image: The normalized image, ``(B, C, H, W)``.
            history: What earlier modules started from, the oldest first, detached.
        """
        raise NotImplementedError


def build_contexts(
    cfg: Mapping[str, Any] | None,
    entries: Sequence[Any],
    modules: Sequence[tuple[int, str]],
    defaults: Mapping[str, Any],
    backbone: str,
) -> nn.ModuleDict:
    """Build ``local.context`` for each module that has one.

    Args:
        cfg: With its ``type``, a name or a class; None builds nothing.
        entries: What each module starts from, see :class:`Context`.
        modules: Those to feed, by number, each with the boundary that it begins behind.
        defaults: What the model knows (norm, ...); a context takes what its constructor names.
        backbone: What it is called in errors.

    Raises:
        ValueError: There is no such context, or it does not fit.
    """
    contexts = nn.ModuleDict()
    if cfg is None:
        return contexts
    kind = cfg['type']
    context_class = CONTEXTS.get(kind) if isinstance(kind, str) else kind
    if context_class is None:
        names = ', '.join(sorted(CONTEXTS.module_dict))
        raise ValueError(f'local.context.type must be one of {names}, got {kind!r}')
    taken = signature(context_class).parameters
    known = {key: value for key, value in defaults.items() if key in taken}
    arguments = {**known, **{key: value for key, value in cfg.items() if key != 'type'}}
    for index, boundary in modules:
        try:
            context = context_class(entries[: index + 1], **arguments)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f'local.context ({kind}) does not fit behind boundary {boundary!r} of {backbone}: '
                f'{error}'
            ) from error
        contexts[boundary_key(boundary)] = context
    return contexts


def entered(model: Modular, index: int, carried: Carried) -> tuple[State, tuple[State, ...]]:
    """Return what a module's units start from, and the history that the next modules read."""
    state, key = carried.state, boundary_key(model.boundaries[index - 1]) if index else ''
    if key in model.context:
        state = model.context[key](state, carried.image, carried.history)
    length = max((context.history for context in model.context.values()), default=0)
    return state, (*carried.history, detached(state))[-length:] if length else ()


def features_in_context(model: Modular, image: Tensor) -> tuple[Feature, ...]:
    """Return the backbone's features where contexts change what its modules start from."""
    units = model.backbone.units()
    emits = numbered_emits(units)
    carried = Carried(image, image, [])
    features: dict[int, Feature] = {}
    for module in model.local_modules:
        state, history = entered(model, module.index, carried)
        for position in range(module.start, module.stop):
            state = units[position].apply(model.backbone, state)
            features |= {i: emit.apply(model.backbone, state) for i, emit in emits[position]}
        carried = Carried(state, image, [], history=history)
    return tuple(features[index] for index in sorted(features))
