"""Runs the units of one local module: the part of the step that ``torch.compile`` may take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch

from ..backbones import Feature, State, Unit, UnrolledBackbone
from ..recompute.function import recompute
from ..recompute.operations import Saved
from ..upstream import allow_compiled_graphs
from .carried import Retained
from .module import UnitGroup


def run_units(
    backbone: UnrolledBackbone,
    groups: Sequence[UnitGroup],
    reads: Collection[int],
    retains: Collection[int],
    state: State,
) -> tuple[State, dict[int, Feature], dict[int, Retained]]:
    """Run the units of a module; nothing is detached.

    Args:
        backbone: Which the units belong to.
        groups: Of the units, in order.
        reads: Features that the module's heads read.
        retains: Features that the tail reads, if this is not the tail.
        state: What the module starts from.

    Returns:
        The state after the last unit, the features that were asked for, and those to be retained.
    """
    features: dict[int, Feature] = {}
    retained: dict[int, Retained] = {}
    for position, group in enumerate(groups, start=1):
        state = _run_group(backbone, group, state, position == len(groups))
        for index, emit in group.emits:
            if index in retains and emit.owns:
                retained[index] = Retained(state, emit)
            elif index in reads or index in retains:
                feature = emit.apply(backbone, state)
                features |= {index: feature} if index in reads else {}
                retained |= {index: Retained(feature)} if index in retains else {}
    return state, features, retained


def _run_group(backbone: UnrolledBackbone, group: UnitGroup, state: State, is_last: bool) -> State:
    if group.saved == 'all' or not torch.is_grad_enabled():
        return _run_in_turn(backbone, group.units, state)
    run = partial(_run_in_turn, backbone, group.units)
    norms = [backbone.get_submodule(path) for path in group.norms]
    # The next module starts from what the last group returns, which so outlives this one's graph.
    return recompute(run, state, saved=cast(Saved, group.saved), norms=norms, lasting=is_last)


def _run_in_turn(backbone: UnrolledBackbone, units: Sequence[Unit], state: State) -> State:
    for unit in units:
        state = unit.apply(backbone, state)
    return state


def compile_units(num_modules: int, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Return :func:`run_units` through ``torch.compile``: one graph per local module.

    Args:
        num_modules: K; torch gives up on a function after so many graphs, in training and eval.
        settings: Arguments of ``torch.compile``.
    """
    allow_compiled_graphs(2 * num_modules)
    return torch.compile(run_units, **settings)
