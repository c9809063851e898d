"""Runs the units of one local module: the part of the step that ``torch.compile`` may take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ..backbones import Emit, Feature, State, Unit, UnrolledBackbone
from ..recompute.function import recompute
from ..recompute.groups import RecomputeGroup
from ..recompute.operations import Saved


@dataclass
class Retained:
    """A feature that waits for the tail, detached; one whose emit trains there, as its state."""

    kept: State
    emit: Emit | None = None

    def feature(self, backbone: UnrolledBackbone) -> Feature:
        """Return the feature; its emit, if it waits for that, becomes part of the graph."""
        return self.kept if self.emit is None else self.emit.apply(backbone, self.kept)


def run_units(
    backbone: UnrolledBackbone,
    units: Sequence[Unit],
    emits: Sequence[Sequence[tuple[int, Emit]]],
    reads: Collection[int],
    retains: Collection[int],
    state: State,
    groups: Sequence[RecomputeGroup],
) -> tuple[State, dict[int, Feature], dict[int, Retained]]:
    """Run the units of a module.

    Args:
        backbone: Which the units belong to.
        units: Of the module, in order.
        emits: For each unit, its emits with the indices of their features.
        reads: Features that the module's heads read.
        retains: Features that the tail reads, if this is not the tail.
        state: What the module starts from.
        groups: Of the units, which recompute together.

    Returns:
        The state after the last unit, the features that were asked for, and those to be retained.
    """
    features: dict[int, Feature] = {}
    retained: dict[int, Retained] = {}
    start = 0
    ends = {unit.name: position for position, unit in enumerate(units, start=1)}
    for group in groups:
        end = ends[group.end]
        state = _run_group(backbone, units[start:end], group.saved, state, end == len(units))
        for index, emit in emits[end - 1]:
            if index in retains and emit.owns:
                retained[index] = Retained(detached(state), emit)
            elif index in reads or index in retains:
                feature = emit.apply(backbone, state)
                features |= {index: feature} if index in reads else {}
                retained |= {index: Retained(detached(feature))} if index in retains else {}
        start = end
    return state, features, retained


def _run_group(
    backbone: UnrolledBackbone,
    units: Sequence[Unit],
    saved: str | Collection[int],
    state: State,
    is_last: bool,
) -> State:
    if saved == 'all' or not torch.is_grad_enabled():
        return _run_in_turn(backbone, units, state)
    run = partial(_run_in_turn, backbone, units)
    norms = _norms(backbone, units)
    # The next module starts from what the last group returns, which so outlives this one's graph.
    return recompute(run, state, saved=cast(Saved, saved), norms=norms, lasting=is_last)


def _run_in_turn(backbone: UnrolledBackbone, units: Sequence[Unit], state: State) -> State:
    for unit in units:
        state = unit.apply(backbone, state)
    return state


def _norms(backbone: UnrolledBackbone, units: Sequence[Unit]) -> list[nn.Module]:
    """Return the layers of units that keep running statistics."""
    paths = tuple(path for unit in units for path in unit.owns)
    return [
        layer
        for name, layer in backbone.named_modules()
        if getattr(layer, 'running_mean', None) is not None
        and any(name == path or name.startswith(f'{path}.') for path in paths)
    ]


def compile_units(num_modules: int, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Return :func:`run_units` through ``torch.compile``: one graph per local module.

    Args:
        num_modules: K; torch gives up on a function after so many graphs, in training and eval.
        settings: Arguments of ``torch.compile``.
    """
    limit = torch._dynamo.config.cache_size_limit
    torch._dynamo.config.cache_size_limit = max(limit, 2 * num_modules)
    return torch.compile(run_units, **settings)


def detached(state: State) -> State:
    """Cut every tensor of a state off its graph."""
    return tree_map_only(Tensor, Tensor.detach, state)
