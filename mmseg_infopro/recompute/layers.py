"""Recomputing in heads: the norms and activations of their convolutional layers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from .function import recompute

_ORDERS = (('conv', 'norm', 'act'), ('norm', 'act', 'conv'))
"""In which an activation never overwrites a layer's input, nor a convolution's output."""


class RecomputesItself(nn.Module):
    """A layer that makes again by itself what some of its parts leave.

    Attributes:
        recomputes: Whether it is to.
    """

    recomputes = False

    @property
    def recomputed_inside(self) -> Collection[str]:
        """Return the names of these parts."""
        raise NotImplementedError


@contextmanager
def recomputing(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Context in which each ``ConvModule`` of modules in training recomputes all but convolutions.

    Between the passes such a layer holds its input, the convolution's output and, as long as
    someone else reads it, its own output: what is copied into a concatenation or resized is gone.
    Each layer on its own, because a head that is computed again as a whole has everything back at
    once. Gradients, buffers and random numbers stay, bit for bit, and no FLOPs are added; the
    backward pass may run outside of the context.

    Layers without norm or activation have nothing to recompute, and those with other buffers than
    the norm's (spectral norm) may change them; they run as they are. So does a layer that is
    called with more than its input.

    Args:
        modules: Whose layers are meant. One that checkpoints a ``ConvModule`` by itself does not
            belong here: torch raises a ``CheckpointError`` where its second run differs.
    """
    found = dict.fromkeys(layer for module in modules for layer in _recomputing_layers(module))
    layers = [layer for layer in found if isinstance(layer, ConvModule)]
    others = [layer for layer in found if isinstance(layer, RecomputesItself)]
    before = {layer: vars(layer).get('forward') for layer in layers}
    try:
        for other in others:
            other.recomputes = True
        for layer in layers:
            # On the instance, which its call looks up first.
            layer.forward = partial(_recomputed, layer, layer.forward)
        yield
    finally:
        for other in others:
            vars(other).pop('recomputes', None)
        for layer, forward in before.items():
            vars(layer).pop('forward', None)
            if forward is not None:
                layer.forward = forward


def _recomputing_layers(module: nn.Module) -> Iterator[ConvModule | RecomputesItself]:
    """Yield the outermost layers that have something to recompute, or do so by themselves."""
    if isinstance(module, ConvModule):
        if _can_recompute(module):
            yield module
        return
    apart: Collection[str] = ()
    if isinstance(module, RecomputesItself):
        yield module
        apart = module.recomputed_inside
    for name, child in module.named_children():
        if name not in apart:
            yield from _recomputing_layers(child)


def _can_recompute(layer: ConvModule) -> bool:
    return (
        type(layer).forward is ConvModule.forward
        and layer.order in _ORDERS
        and layer.with_norm
        and layer.with_activation
        and all(name.startswith(f'{layer.norm_name}.') for name, _ in layer.named_buffers())
    )


def _recomputed(layer: ConvModule, forward: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if args or kwargs or not (layer.training and torch.is_grad_enabled()):
        return forward(x, *args, **kwargs)
    norms = [part for part in layer.modules() if getattr(part, 'running_mean', None) is not None]
    return recompute(forward, x, saved='cheap', norms=norms)
