"""Throw-away copies on fake tensors: real shapes and bytes, no memory and no arithmetic."""

from __future__ import annotations

import operator
from copy import deepcopy
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..upstream import (
    FUSED_SGD,
    READ_DEVICE,
    READ_VALUE,
    UNIQUE,
    FakeCopyMode,
    FakeTensor,
    FakeTensorMode,
    TorchDispatchMode,
    device_of,
)

KNOWN = 'known_value'
"""The attribute of a tensor whose truth value is known."""
NUM_VALUES = 32
"""Distinct values that labels are taken to have: of more classes a crop hardly shows any."""
COMPARED = {
    torch.ops.aten.eq.Scalar: operator.eq,
    torch.ops.aten.ne.Scalar: operator.ne,
    torch.ops.aten.lt.Scalar: operator.lt,
    torch.ops.aten.le.Scalar: operator.le,
    torch.ops.aten.gt.Scalar: operator.gt,
    torch.ops.aten.ge.Scalar: operator.ge,
}
DISTINCT = (
    UNIQUE,
    torch.ops.aten.unique_dim.default,
    torch.ops.aten.unique_consecutive.default,
)
ModuleT = TypeVar('ModuleT', bound=nn.Module)


def fake_copy(module: ModuleT, mode: FakeTensorMode) -> ModuleT:
    """Deep-copy a module onto fake tensors of ``mode``, which must not be entered yet."""
    # The mode would clone each parameter once more, which takes most of the time.
    tensors = [*module.parameters(), *module.buffers()]
    fakes = {
        id(tensor): mode.from_tensor(tensor, static_shapes=True)
        for tensor in tensors
        if type(tensor) in (Tensor, nn.Parameter) and tensor.grad is None
    }
    with FakeCopyMode(mode):
        copy = deepcopy(module, fakes)
    for layer in copy.modules():
        if isinstance(layer, nn.SyncBatchNorm):
            layer.forward = partial(_normalize, layer)  # type: ignore[method-assign]
    return copy


def _normalize(layer: nn.SyncBatchNorm, x: Tensor) -> Tensor:
    """Do what SyncBN does on many processes: one value per channel here is one of several."""
    is_alone = x.numel() == x.shape[1]
    several = torch.cat([x, x]) if is_alone else x
    y = F.batch_norm(
        several,
        layer.running_mean,
        layer.running_var,
        layer.weight,
        layer.bias,
        layer.training or layer.running_mean is None,
        layer.momentum or 0.0,
        layer.eps,
    )
    return y[:1].clone() if is_alone else y


def as_fake(module: ModuleT) -> tuple[ModuleT, FakeTensorMode]:
    """Return a fake copy of a module, or the module itself if it is one; and its mode."""
    tensors = (*module.parameters(), *module.buffers())
    mode = next((t.fake_mode for t in tensors if isinstance(t, FakeTensor)), None)
    if mode is not None:
        return module, mode
    mode = FakeTensorMode()
    return fake_copy(module, mode), mode


class UpperBounds(TorchDispatchMode):
    """Gives data-dependent operations the largest result that they could have.

    Fake tensors hold no values, so an operation whose output shape depends on values (indexing
    with a boolean mask, ``nonzero``) or that reads a value (``item``) has no answer on them. This
    mode, entered inside a ``FakeTensorMode``, answers as if every element were selected and every
    value read were one, which bounds the bytes from above: a sum is not 0, and nothing is left out
    because all of it is ignored. Distinct values are :data:`NUM_VALUES` at most.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Answer data-dependent operations; pass everything else on."""
        if func is READ_DEVICE:
            return device_of(args[0])
        if func in FUSED_SGD:
            return None
        aten = torch.ops.aten
        if func is READ_VALUE:
            return getattr(args[0], KNOWN, _one(args[0].dtype))
        if func in DISTINCT:
            return _distinct(func, args[0])
        if func is aten.bincount.default:
            return args[0].new_empty(max(NUM_VALUES, *args[2:3]), dtype=torch.long)
        if func is aten.nonzero.default:
            return torch.stack(_all_indices(args[0]), dim=1)
        if func is aten.masked_select.default:
            return args[0].new_empty(torch.broadcast_shapes(args[0].shape, args[1].shape).numel())
        if func is aten.index.Tensor:
            return _index(args[0], args[1])
        result = func(*args, **(kwargs or {}))
        known = _known(func, args)
        if known is not None:
            setattr(result, KNOWN, known)
        return result


def _known(func: Any, args: tuple[Any, ...]) -> bool | None:
    """Return what a truth value is if every value that it is made of is one; None if not known."""
    aten = torch.ops.aten
    if func in COMPARED and args[0].numel() == 1 and isinstance(args[1], (int, float)):
        return bool(COMPARED[func](1, args[1]))
    if func is aten.all.default:
        return False
    if func in (aten.logical_not.default, aten.bitwise_not.default):
        known = getattr(args[0], KNOWN, None)
        return None if known is None else not known
    return None


def _distinct(func: Any, tensor: Tensor) -> tuple[Tensor, ...]:
    """Return a tensor's distinct values, where they are and how many there are of each."""
    aten = torch.ops.aten
    along = func is aten.unique_dim.default
    length = min(NUM_VALUES, tensor.shape[0] if along else tensor.numel())
    values = tensor.new_empty((length, *tensor.shape[1:]) if along else length)
    inverse = torch.empty_like(tensor, dtype=torch.long)
    return values, inverse, values.new_empty(length, dtype=torch.long)


def _one(dtype: torch.dtype) -> bool | int | float:
    if dtype is torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1


def _all_indices(mask: Tensor) -> list[Tensor]:
    return [mask.new_empty(mask.numel(), dtype=torch.long) for _ in range(mask.dim())]


def _index(tensor: Tensor, indices: list[Tensor | None]) -> Tensor:
    masks = [index for index in indices if index is not None]
    if len(masks) == 1 and _is_mask(masks[0]):
        # Made at once: the positions that the kernel finds first are its own business.
        before, mask = indices.index(masks[0]), masks[0]
        after = tensor.shape[before + mask.dim() :]
        return tensor.new_empty((*tensor.shape[:before], mask.numel(), *after))
    positions: list[Tensor | None] = []
    for index in indices:
        positions += _all_indices(index) if index is not None and _is_mask(index) else [index]
    return torch.ops.aten.index.Tensor(tensor, positions)


def _is_mask(index: Tensor) -> bool:
    return index.dtype in (torch.bool, torch.uint8)
