"""Throw-away copies on fake tensors: real shapes and bytes, no memory and no arithmetic."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..upstream import (
    READ_DEVICE,
    READ_VALUE,
    FakeCopyMode,
    FakeTensor,
    FakeTensorMode,
    TorchDispatchMode,
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
        return deepcopy(module, fakes)


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
    value read were one, which bounds the bytes from above.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Answer data-dependent operations; pass everything else on."""
        if func is READ_DEVICE:
            return func(*args)
        aten = torch.ops.aten
        if func is READ_VALUE:
            return _one(args[0].dtype)
        if func is aten.nonzero.default:
            return torch.stack(_all_indices(args[0]), dim=1)
        if func is aten.masked_select.default:
            return args[0].new_empty(torch.broadcast_shapes(args[0].shape, args[1].shape).numel())
        if func is aten.index.Tensor:
            return _index(args[0], args[1])
        return func(*args, **(kwargs or {}))


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
