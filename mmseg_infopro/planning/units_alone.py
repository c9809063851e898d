"""What single units need, run on their own on fake tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..backbones import State, Unit, UnrolledBackbone, is_below, owned_parameters
from ..measure.fake import UpperBounds
from ..measure.tracker import MemoryTracker, Watch
from ..measure.work import Work, WorkCounter
from ..recompute.function import recompute
from ..recompute.groups import Recompute
from ..recompute.operations import Activations, measure_activations
from ..upstream import tree_leaves, tree_map_only
from .unit_bytes import as_leaf, tensors_of


@dataclass(frozen=True)
class Alone:
    """What a unit needs on its own.

    Attributes:
        peak: Of its passes, beyond what was there before.
        released: The same, if nobody holds what it returns until its backward pass; as ``peak`` if
            recomputing is not asked for.
        cheap: As ``peak``, if it recomputes and keeps every operation's output; 0 if recomputing is
            not asked for.
        by_layers: As ``peak``, if it recomputes layer by layer; 0 if that was not asked for.
        by_layers_flops: What that repeats.
        activations: Of it.
        forward: The work of its forward pass.
        backward: That of its backward pass.
    """

    peak: int
    released: int
    cheap: int
    by_layers: int
    by_layers_flops: int
    activations: Activations
    forward: Work
    backward: Work


class UnitsAlone:
    """Measures units on their own; those that are alike are run once.

    Args:
        recomputed: ``local.recompute``, a word: whether to run them recomputing, too.
    """

    def __init__(self, recomputed: Recompute) -> None:
        self._cheaply, self._all_ways = recomputed in ('cheap', 'auto'), recomputed == 'auto'
        self._known: dict[str, Alone] = {}

    def measure(self, backbone: UnrolledBackbone, unit: Unit, state: State) -> Alone:
        """Return what a unit needs."""
        owned = owned_parameters(backbone, unit.owns)
        inputs = [leaf.shape if isinstance(leaf, Tensor) else leaf for leaf in tree_leaves(state)]
        parameters = ((p.shape, p.requires_grad) for p in owned.values())
        likeness = str([*inputs, *parameters, *_structure(backbone, unit)])
        if likeness not in self._known:
            start = tree_map_only(Tensor, as_leaf, state)
            run = partial(unit.apply, backbone)
            work = WorkCounter()
            peak, flops = _peak_and_flops(run, start, (), work)
            released, cheap, by_layers, repeated = peak, 0, 0, 0
            # Whether its output is held or made again, it is there once.
            again = partial(recompute, run, lasting=True)
            existing = [*owned.values(), *tensors_of(start)]
            if self._cheaply:
                cheap, _ = _peak_and_flops(partial(again, saved='cheap'), start, existing)
            if self._all_ways:
                released, _ = _peak_and_flops(run, start, (), holds=False)
                layers = partial(again, saved='layers')
                by_layers, more = _peak_and_flops(layers, start, existing)
                repeated = more - flops
            for parameter in owned.values():
                parameter.grad = None
            activations = measure_activations(run, start)
            self._known[likeness] = Alone(
                peak, released, cheap, by_layers, repeated, activations, work.forward, work.backward
            )
        return self._known[likeness]


KINDS = (int, str, tuple)
"""Of settings that tell modules apart."""


def _structure(backbone: UnrolledBackbone, unit: Unit) -> Iterator[Any]:
    """Yield what a unit's modules are: local and global attention have the same parameters.

    Rates of dropout, which most often differ between blocks, are left out with all floats.
    """
    for name, module in backbone.named_modules():
        if is_below(name, unit.owns):
            settings = vars(module).items()
            yield type(module), [item for item in settings if isinstance(item[1], KINDS)]


class _Root(torch.autograd.Function):
    """Makes the gradients that a backward pass begins with, which nobody else then holds."""

    @staticmethod
    def forward(ctx: Any, *outputs: Tensor) -> Tensor:
        """Return the scalar to call ``backward`` on."""
        ctx.outputs = [(output.shape, output.dtype) for output in outputs]
        return outputs[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return a gradient for each output."""
        return tuple(gradient.new_empty(shape, dtype=dtype) for shape, dtype in ctx.outputs)


def _peak_and_flops(
    run: Callable[[State], Any],
    state: State,
    existing: Iterable[Tensor],
    watch: Watch | None = None,
    holds: bool = True,
) -> tuple[int, int]:
    """Return the peak beyond ``existing``, and the FLOPs, of both passes of a unit.

    Args:
        run: The unit.
        state: What it starts from.
        existing: As for :func:`~..measure.dry_step.peak_beyond`.
        watch: The same.
        holds: Whether the caller holds what the unit returns until its backward pass has run.
    """
    tracker = MemoryTracker(watch=watch)
    tracker.track(existing, 'existing')
    with UpperBounds(), tracker:
        outputs = [tensor for tensor in tensors_of(run(state)) if tensor.requires_grad]
        if outputs:
            root = _Root.apply(*outputs)
            outputs = outputs if holds else []
            root.backward()
    return tracker.peak_bytes.total() - tracker.peak_bytes['existing'], tracker.flops
