"""Prediction module by module: what a process that has one of them runs of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..backbones import numbered_emits
from .carried import Carried, Retained
from .context import entered


def predict_module(model: Any, index: int, carried: Carried) -> Carried:
    """Run context and units of one module of a model that predicts; heads do not run.

    Args:
        model: A segmentor with local modules, in evaluation mode.
        index: Of the module.
        carried: What it starts from.

    Returns:
        What it passes on; what the decode head reads waits in it, up to :func:`head_inputs`.
    """
    module, tail = model.local_modules[index], model.local_modules[-1]
    units = model.backbone.units()
    emits = numbered_emits(units)
    reads = range(sum(map(len, emits))) if _emits_others(model) else tail.reads
    state, history = entered(model, index, carried)
    retained = dict(carried.retained)
    for position in range(module.start, module.stop):
        state = units[position].apply(model.backbone, state)
        for number, emit in emits[position]:
            if number in reads:
                owned = bool(emit.owns)  # by the tail, which has its layers
                kept = state if owned else emit.apply(model.backbone, state)
                retained[number] = Retained(kept, emit if owned else None)
    return replace(carried, state=state, retained=retained, history=history)


def head_inputs(model: Any, carried: Carried) -> Any:
    """Return what a segmentor's ``extract_feat`` does, of what the last module has passed on."""
    number = sum(len(emits) for emits in numbered_emits(model.backbone.units()))
    kept = carried.retained
    features: Any = tuple(
        kept[index].feature(model.backbone) if index in kept else None for index in range(number)
    )
    if _emits_others(model):  # mmseg's backbones of this kind return the one bare
        (features,) = features
    return model.neck(features) if model.with_neck else features


def _emits_others(model: Any) -> bool:
    """Whether the backbone returns other features in training than in prediction."""
    trained = sum(len(group.emits) for view in model.local_modules for group in view.groups)
    return trained != sum(len(unit.emits) for unit in model.backbone.units())
