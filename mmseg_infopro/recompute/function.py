"""Recompute: activations that are computed a second time, in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from ..upstream import tree_flatten, tree_unflatten
from .layerwise import OneSlot, Outputs
from .offload import active
from .operations import Saved, saved_indices
from .runs import FirstRun, RunToOneSlot, SecondRun
from .saved_tensors import SavedTensors


def recompute(
    function: Callable[..., Any],
    *args: Any,
    saved: Saved,
    norms: Sequence[nn.Module] = (),
    lasting: bool = False,
) -> Any:
    """Run a function so that few of its activations live until the backward pass.

    These are its inputs, what it returns, the outputs of the chosen compute operations
    (convolutions, matrix products, attention) and what is negligible; all others are computed again
    there. Gradients, buffers and random numbers are those of ``function(*args)``, bit for bit.

    Args:
        function: What it does with its arguments and the state of the program is the same in both
            runs; it does not write to its arguments.
        args: Nests of tensors and plain values.
        saved: ``'units'`` keeps no operation's output, ``'cheap'`` every one's, so that the second
            run costs no FLOPs; or the numbers of those to keep, in call order, with or without
            their names. ``'layers'`` keeps none either, and makes one saved tensor at a time, in
            as many runs, of which each goes through all that is before it.
        norms: Modules of the function whose buffers a run updates: batch norms.
        lasting: Whether the caller holds what is returned until the backward pass has run; else
            it may be computed again.

    Raises:
        ValueError: ``saved`` is another word, or has numbers that no operation has, or an operation
            of another name.
    """
    chosen = saved_indices(saved)
    if not torch.is_grad_enabled():
        return function(*args)
    leaves, structure = tree_flatten(args)
    kept: dict[int, Any] = {}
    first = FirstRun(chosen, kept)

    def run(*leaves: Any) -> Any:
        return function(*tree_unflatten(leaves, structure))

    second, one_slot = SecondRun(kept, norms), None
    if saved == 'layers':
        outputs = Outputs(kept)
        second, one_slot = RunToOneSlot(outputs, norms), partial(OneSlot, outputs=outputs)
    tensors = SavedTensors(run, leaves, second, kept, first.number_of, one_slot)
    with tensors.hooks(), first:
        result = run(*leaves)
    first.release(result)
    tensors.release(result, lasting)
    host = active()
    if host is not None:
        tensors.send_to_host(host)
    _check_numbers(saved, first.count)
    return result


def _check_numbers(saved: Saved, count: int) -> None:
    if not isinstance(saved, str) and not set(saved) <= set(range(count)):
        raise ValueError(
            f'saved must be numbers of compute operations, from 0 to {count - 1}, '
            f'got {sorted(saved)}'
        )
