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
from ..memory import Saved, recompute
from ..partition import GROUP_SIZES, group_ends


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
    recomputed: str = 'none',
) -> tuple[State, dict[int, Feature], dict[int, Retained]]:
    """Run the units of a module.

    Args:
        backbone: Which the units belong to.
        units: Of the module, in order.
        emits: For each unit, its emits with the indices of their features.
        reads: Features that the module's heads read.
        retains: Features that the tail reads, if this is not the tail.
        state: What the module starts from.
        recomputed: ``local.recompute``.

    Returns:
        The state after the last unit, the features that were asked for, and those to be retained.
    """
    features: dict[int, Feature] = {}
    retained: dict[int, Retained] = {}
    start = 0
    for end in group_ends([bool(unit.emits) for unit in units], GROUP_SIZES[recomputed]):
        state = _run_group(backbone, units[start:end], recomputed, state)
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
    backbone: UnrolledBackbone, units: Sequence[Unit], recomputed: str, state: State
) -> State:
    if recomputed == 'none' or not torch.is_grad_enabled():
        return _run_in_turn(backbone, units, state)
    run = partial(_run_in_turn, backbone, units)
    return recompute(run, state, saved=cast(Saved, recomputed), norms=_norms(backbone, units))


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
