"""The losses at a border: of each local head, with what it counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmseg.utils import add_prefix
from torch import Tensor

from ..backbones import State
from ..local_heads.balance import balanced_weight, gradient_norms
from ..local_heads.building import head_losses
from ..recompute.buffers import unchanged_buffers
from ..upstream import tree_leaves, tree_map_only
from .carried import Carried, detached
from .clock import current_iteration, is_pretended
from .modular import Modular
from .names import boundary_key
from .schedule import Pass

Losses = dict[str, Tensor]


def border_heads(model: Modular, index: int) -> list[Any]:
    """Return the local heads at the end of a module; a frozen one has none."""
    key = boundary_key(model.boundaries[index])
    return list(model.local_heads[key].children()) if key in model.local_heads else []


def head_name(head: Any) -> str:
    """Return what schedules and the log call a local head."""
    return getattr(head, 'local_name', type(head).__name__)


def measures_residuals(model: Modular, index: int, run: Pass) -> bool:
    """Whether a head of a module that counts in a pass asks how large residual branches are."""
    return index < len(model.boundaries) and any(
        getattr(head, 'reads_residuals', False) and run.weight(index, head_name(head))
        for head in border_heads(model, index)
    )


def head_names(model: Modular) -> list[list[str]]:
    """Return the names of each module's local heads; of the tail, its decode head's."""
    local = [
        [head_name(head) for head in border_heads(model, index)]
        for index in range(len(model.boundaries))
    ]
    return [*local, [type(model.decode_head).__name__]]


def local_losses(
    model: Modular,
    index: int,
    state: State,
    carried: Carried,
    run: Pass,
    residuals: Sequence[Tensor] = (),
) -> Losses:
    """Return the weighted losses of a border's heads.

    Args:
        model: The segmentor.
        index: Of the module that ends there.
        state: What it leaves.
        carried: What it started from.
        run: The pass that it is part of.
        residuals: ``mean(r^2)`` of the module's residual branches, where a head asks for them.
    """
    losses: Losses = {}
    border = model.backbone.border_features(state)
    heads = border_heads(model, index)
    entry = [carried.image]
    if index and any(getattr(head, 'reads_entry', False) for head in heads):
        entry = model.backbone.border_features(detached(carried.state))
    for head in heads:
        if not getattr(head, 'follows', True):  # has yet to begin
            head.follow(model.backbone)
    counts = run.trains and any(run.weight(index, head_name(head)) for head in heads)
    if (
        counts
        and any(getattr(head, 'is_balanced', False) for head in heads)
        and _measures_now(model)
    ):
        _measure_strengths(model, heads, state, carried, entry)
    for number, head in enumerate(heads):
        name = head_name(head)
        weight = run.weight(index, name)
        if not weight:
            continue
        values = head_losses(head, border, carried.samples, carried.image, entry, residuals, state)
        if not any('loss' in key for key in values):
            raise ValueError(
                f'the local head {name} returns {", ".join(values) or "nothing"}: only keys with '
                "'loss' in them count"
            )
        if getattr(head, 'is_balanced', False):
            values = weighted(values, balance := balanced_weight(head, heads))
            values['lambda_balance'] = balance
        if getattr(head, 'is_named', False):
            values = add_prefix(values, name)
        elif values.keys() & losses.keys():
            values = add_prefix(values, f'{number}')
        losses |= weighted(values, weight)
    return add_prefix(losses, f'local_{index}')


def _measures_now(model: Modular) -> bool:
    return current_iteration() % model.balance_interval == 0 and not is_pretended()


def _measure_strengths(
    model: Modular, heads: list[Any], state: State, carried: Carried, entry: list[Tensor]
) -> None:
    """Run the heads apart from the module; their norms and random numbers stay as they are."""
    start = tree_map_only(Tensor, as_leaf, state)
    leaves = [
        leaf for leaf in tree_leaves(start) if isinstance(leaf, Tensor) and leaf.requires_grad
    ]
    devices = sorted({leaf.get_device() for leaf in leaves if leaf.is_cuda})
    layers = [layer for head in heads for layer in head.modules()]
    with unchanged_buffers(layers), torch.random.fork_rng(devices), torch.enable_grad():
        border = model.backbone.border_features(start)
        losses = partial(
            head_losses,
            features=border,
            data_samples=carried.samples,
            image=carried.image,
            entry=entry,
            state=start,
        )
        norms = gradient_norms(heads, leaves, losses)
    for head, norm in zip(heads, norms, strict=True):
        head.strength.add(norm)


def as_leaf(tensor: Tensor) -> Tensor:
    """Return a tensor that a graph begins with, of numbers that a gradient can be of."""
    return tensor.detach().requires_grad_(tensor.is_floating_point())


def weighted(losses: Losses, weight: float | Tensor) -> Losses:
    """Scale what counts as a loss; accuracies and the like stay."""
    if isinstance(weight, (int, float)) and weight == 1:
        return losses
    return {name: value * weight if 'loss' in name else value for name, value in losses.items()}


def reads_image(model: Modular, index: int) -> bool:
    """Whether a module reads the image: the first one, for its context, or by its heads."""
    if index == 0 or boundary_key(model.boundaries[index - 1]) in model.context:
        return True
    heads = border_heads(model, index) if index < len(model.boundaries) else []
    return any(getattr(head, 'reads_image', False) for head in heads)
