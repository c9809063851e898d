"""How what passes a border lies in memory, as plain data, and the tensors that it consists of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..backbones import numbered_emits
from ..local.carried import Carried, Retained
from ..upstream import tree_leaves, tree_map_only


@dataclass(frozen=True)
class Slot:
    """The place of a tensor in what passes a border.

    Attributes:
        shape: Its size.
        order: Its dimensions, the one with the largest stride first.
        dtype: Of its numbers.
        strides: Its own, also those of dimensions of size 1, by which kernels are chosen.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    dtype: torch.dtype
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Slot:
        """Return the slot that a tensor fits in as it lies, or copied if it has holes."""
        strides = tensor.stride()
        order = tuple(sorted(range(tensor.dim()), key=lambda d: -strides[d]))
        if not tensor.permute(order).is_contiguous():
            order = tuple(range(tensor.dim()))
            strides = torch.empty(tensor.shape, device='meta').stride()
        return cls(tuple(tensor.shape), order, tensor.dtype, tuple(strides))

    def flat(self, tensor: Tensor) -> Tensor:
        """Return a tensor of this slot as contiguous memory."""
        return tensor.permute(self.order).contiguous()

    def empty(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Return contiguous memory for :meth:`placed`."""
        return torch.empty([self.shape[d] for d in self.order], dtype=dtype, device=device)

    def placed(self, flat: Tensor) -> Tensor:
        """Return what :meth:`flat` was made of, strides included."""
        inverse = [self.order.index(d) for d in range(len(self.order))]
        return flat.permute(inverse).to(self.dtype).as_strided(self.shape, self.strides)


def contents(carried: Carried) -> Any:
    """Return what a process does not have itself: the state, features that wait, the history.

    Samples and the image are loaded by every process.
    """
    waiting = {
        number: (left.kept, left.emit is not None) for number, left in carried.retained.items()
    }
    return carried.state, waiting, carried.history


def with_contents(own: Carried, received: Any, backbone: Any) -> Carried:
    """Return what a module starts from: a process's own batch, with what it received."""
    state, waiting, history = received
    emits = {number: emit for unit in numbered_emits(backbone.units()) for number, emit in unit}
    retained = {
        number: Retained(kept, emits[number] if waits else None)
        for number, (kept, waits) in waiting.items()
    }
    return replace(own, state=state, retained=retained, history=history)


def layout(nest: Any) -> Any:
    """Return a nest with a :class:`Slot` in the place of each tensor."""
    return tree_map_only(Tensor, Slot.of, nest)


def tensors(nest: Any) -> list[Tensor]:
    """Return the tensors of a nest, in order."""
    return [leaf for leaf in tree_leaves(nest) if isinstance(leaf, Tensor)]


def slots(laid_out: Any) -> list[Slot]:
    """Return the slots of a layout, in order."""
    return [leaf for leaf in tree_leaves(laid_out) if isinstance(leaf, Slot)]


def filled(laid_out: Any, values: list[Tensor]) -> Any:
    """Return a nest with tensors in the slots of a layout."""
    left = iter(values)
    return tree_map_only(Slot, lambda slot: next(left), laid_out)
