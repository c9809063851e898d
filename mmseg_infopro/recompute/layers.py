"""Recomputing in heads: the norms and activations of their convolutional layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from .function import recompute

_ORDERS = (('conv', 'norm', 'act'), ('norm', 'act', 'conv'))
"""In which an activation never overwrites a layer's input, nor a convolution's output."""


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
    layers = dict.fromkeys(layer for module in modules for layer in _conv_modules(module))
    before = {layer: vars(layer).get('forward') for layer in layers}
    try:
        for layer in layers:
            # On the instance, which its call looks up first.
            layer.forward = partial(_recomputed, layer, layer.forward)
        yield
    finally:
        for layer, forward in before.items():
            vars(layer).pop('forward', None)
            if forward is not None:
                layer.forward = forward


def _conv_modules(module: nn.Module) -> Iterator[ConvModule]:
    """Yield the outermost ``ConvModule`` layers that have something to recompute."""
    if isinstance(module, ConvModule):
        if _can_recompute(module):
            yield module
        return
    for child in module.children():
        yield from _conv_modules(child)


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
