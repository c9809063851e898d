"""Runs the units of one local module: the part of the step that ``torch.compile`` may take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from ..backbones import Feature, State, Unit, UnrolledBackbone
from ..backbones.residuals import apply_measuring
from ..recompute.function import recompute
from ..recompute.operations import Saved
from ..upstream import activation_budget, allow_compiled_graphs
from .carried import Retained
from .module import UnitGroup


def run_units(
    backbone: UnrolledBackbone,
    groups: Sequence[UnitGroup],
    reads: Collection[int],
    retains: Collection[int],
    state: State,
    measures: bool = False,
) -> tuple[State, dict[int, Feature], dict[int, Retained], list[Tensor]]:
    """Run the units of a module; nothing is detached.

    Args:
        backbone: Which the units belong to.
        groups: Of the units, in order.
        reads: Features that the module's heads read.
        retains: Features that the tail reads, if this is not the tail.
        state: What the module starts from.
        measures: Whether to measure the residual branches.

    Returns:
        The state after the last unit, the features that were asked for, those to be retained, and
        ``mean(r^2)`` of each residual branch r, if that was asked for.
    """
    features: dict[int, Feature] = {}
    retained: dict[int, Retained] = {}
    residuals: list[Tensor] = []
    for position, group in enumerate(groups, start=1):
        state, own = _run_group(backbone, group, state, position == len(groups), measures)
        residuals += own
        for index, emit in group.emits:
            if index in retains and emit.owns:
                retained[index] = Retained(state, emit)
            elif index in reads or index in retains:
                feature = emit.apply(backbone, state)
                features |= {index: feature} if index in reads else {}
                retained |= {index: Retained(feature)} if index in retains else {}
    return state, features, retained, residuals


def _run_group(
    backbone: UnrolledBackbone, group: UnitGroup, state: State, is_last: bool, measures: bool
) -> tuple[State, list[Tensor]]:
    run = partial(_run_in_turn, backbone, group.units, measures)
    if group.saved == 'all' or not torch.is_grad_enabled():
        return run(state)
    norms = [backbone.get_submodule(path) for path in group.norms]
    # The next module starts from what the last group returns, which so outlives this one's graph.
    return recompute(run, state, saved=cast(Saved, group.saved), norms=norms, lasting=is_last)


def _run_in_turn(
    backbone: UnrolledBackbone, units: Sequence[Unit], measures: bool, state: State
) -> tuple[State, list[Tensor]]:
    residuals: list[Tensor] = []
    for unit in units:
        if measures:
            state, own = apply_measuring(unit, backbone, state)
            residuals += own
        else:
            state = unit.apply(backbone, state)
    return state, residuals


def check_compiled(heads: Iterable[Any]) -> None:
    """Check that local heads ask for nothing that a compiled module does not give.

    Raises:
        ValueError: One reads residual branches, which hooks measure.
    """
    names = [type(head).__name__ for head in heads if getattr(head, 'reads_residuals', False)]
    if names:
        raise ValueError(
            f'local.compile and the local head {names[0]} exclude each other: residual branches '
            'cannot be measured inside of a compiled module; set local.compile=False'
        )


BUDGET = 'activation_memory_budget'
"""Of ``local.compile``: what a compiled module may keep, as a share of what it would."""


def compile_units(num_modules: int, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Return :func:`run_units` through ``torch.compile``: one graph per local module.

    Args:
        num_modules: K; torch gives up on a function after so many graphs, in training and eval.
        settings: Arguments of ``torch.compile``, and ``activation_memory_budget``: of the bytes
            that each module's graph saves for its backward pass the share that is kept, 0 to 1;
            the rest is computed again. It is no share of the step's peak. Backends that do not
            partition graphs, as ``'eager'``, ignore it.
    """
    allow_compiled_graphs(2 * num_modules)
    arguments = {key: value for key, value in settings.items() if key != BUDGET}
    compiled = torch.compile(run_units, **arguments)
    share = settings.get(BUDGET)
    if share is None:
        return compiled

    def run_within_budget(*args: Any, **kwargs: Any) -> Any:
        with activation_budget(share):  # read when a graph is made
            return compiled(*args, **kwargs)

    return run_within_budget
