"""The forward pass: context, units, heads and losses of one local module after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmseg.utils import add_prefix
from torch import Tensor, nn

from ..backbones import Feature
from ..recompute.buffers import unchanged_buffers
from ..recompute.layers import recomputing
from ..recompute.offload import HostMemory
from ..upstream import decode_head_losses
from .carried import Carried
from .context import entered
from .feature_flow import auxiliary_heads, neck_and_heads
from .local_losses import Losses, local_losses, measures_residuals, weighted
from .modular import Modular
from .module import module_layers
from .schedule import AUXILIARY, Pass
from .streams import start_stream

Features = tuple[Feature | None, ...]


def forward_pass(
    model: Modular, passes: Sequence[Pass], position: int, starts: dict[int, Carried]
) -> Losses:
    """Run the modules of one pass of a step and return its weighted losses.

    Nothing but the losses holds its graph afterwards: with their backward pass its activations are
    gone.

    Args:
        model: The segmentor.
        passes: Of the step.
        position: Of the pass among them.
        starts: What modules start from, detached; what later passes need is added, and what they
            do not is taken out.
    """
    run = passes[position]
    needed = {later.first for later in passes[position + 1 :]}
    # Norms of modules that have run in this step already do not count twice.
    again = {index for other in passes[:position] if other.trains for index in other.modules}
    carried = starts[run.first] if run.first in needed else starts.pop(run.first)
    model.running_pass = run.modules
    losses: Losses = {}
    read: dict[int, Features] = {}
    with torch.set_grad_enabled(run.trains and torch.is_grad_enabled()), ExitStack() as stack:
        for index in run.modules:
            if not run.trains:
                stack.enter_context(as_in_prediction(model, index))
            elif index in again:
                norms = module_layers(model, index).values()
                stack.enter_context(unchanged_buffers(list(norms)))
            with _saving(model, index, carried):
                own, carried, features = forward_module(model, index, carried, run)
            losses |= own
            if model.local_modules[index].aux_heads:
                read[index] = features
            if index + 1 in needed:
                starts.setdefault(index + 1, carried.detached())
        # After all others, as in end-to-end training: sums of gradients depend on their order.
        losses |= _auxiliary_losses(model, run, read, carried)
    return losses


def forward_module(
    model: Modular, index: int, carried: Carried, run: Pass
) -> tuple[Losses, Carried, Features]:
    """Run one module from its context to its losses; nothing is detached.

    Args:
        model: The segmentor.
        index: Of the module.
        carried: What it starts from.
        run: The pass that it is part of.

    Returns:
        The weighted losses of its local heads, or of the tail's decode head; what it passes on; and
        the features that its auxiliary heads read, others being None.
    """
    module, tail = model.local_modules[index], len(model.boundaries)
    model.running_module = index
    if tail:  # K=1 is the parent's
        start_stream(index)
    start, history = entered(model, index, carried)
    with torch.set_grad_enabled(not module.frozen and torch.is_grad_enabled()):
        state, found, left, residuals = model.run_units(
            model.backbone,
            module.whole_groups if run.recompute else module.groups,
            module.reads,
            frozenset() if index == tail else model.local_modules[tail].reads,
            start,
            measures_residuals(model, index, run),
        )
    if index == tail:
        found |= {i: kept.feature(model.backbone) for i, kept in carried.retained.items()}
    emits = [emit for view in model.local_modules for group in view.groups for emit in group.emits]
    features = tuple(found.get(number) for number in range(len(emits)))
    with recomputing(neck_and_heads(model) if model.recomputes else ()):
        if index < tail:
            losses = local_losses(model, index, state, carried, run, residuals)
            retained = {**carried.retained, **left}
            return (
                losses,
                replace(carried, state=state, retained=retained, history=history),
                features,
            )
        features = model.neck(features) if model.with_neck else features
        # Nothing starts from the tail's state: only its heads hold it.
        return _tail_losses(model, features, carried, run), replace(carried, retained={}), features


def border_features(model: Modular, image: Tensor, index: int) -> list[Tensor]:
    """Return what the local heads of a module read of normalized images ``(B, C, H, W)``."""
    carried = Carried(image, image, [])
    for module in model.local_modules[: index + 1]:
        state, history = entered(model, module.index, carried)
        for group in module.groups:
            for unit in group.units:
                state = unit.apply(model.backbone, state)
        carried = Carried(state, image, [], history=history)
    return model.backbone.border_features(carried.state)


def _tail_losses(model: Any, features: Any, carried: Carried, run: Pass) -> Losses:
    weight = run.weight(len(model.boundaries), type(model.decode_head).__name__)
    if not weight:
        return {}
    return weighted(decode_head_losses(model, features, carried.samples), weight)


def _auxiliary_losses(model: Any, run: Pass, read: dict[int, Features], carried: Carried) -> Losses:
    losses: Losses = {}
    heads = auxiliary_heads(model)
    many = isinstance(getattr(model, 'auxiliary_head', None), nn.ModuleList)
    owners = {aux: index for index in read for aux in model.local_modules[index].aux_heads}
    with recomputing(neck_and_heads(model) if model.recomputes else ()):
        for aux, index in sorted(owners.items()):
            model.running_module = index
            weight = run.weight(index, AUXILIARY)
            if weight:
                with _saving(model, index, carried):
                    values = heads[aux].loss(read[index], carried.samples, model.train_cfg)
                losses |= add_prefix(weighted(values, weight), f'aux_{aux}' if many else 'aux')
    return losses


def _saving(model: Modular, index: int, carried: Carried) -> AbstractContextManager[None]:
    """Return the context in which what a module saves goes to where it asks for."""
    if index not in model.offloaded or not torch.is_grad_enabled():
        return nullcontext()
    if carried.image.device.type == 'cpu' and type(carried.image) is Tensor:  # and not a fake one
        # mmengine's logger shows a repeated warning once.
        MMLogger.get_current_instance().warning(
            'local.offload saves nothing on a CPU, whose memory is that of the host; the training '
            'is the same'
        )
    return HostMemory([carried.image]).saving()


@contextmanager
def as_in_prediction(model: Modular, index: int) -> Iterator[None]:
    """Context in which a module's norms and dropout are those of prediction."""
    training = [layer for layer in module_layers(model, index).values() if layer.training]
    try:
        for layer in training:
            layer.training = False
        yield
    finally:
        for layer in training:
            layer.training = True
