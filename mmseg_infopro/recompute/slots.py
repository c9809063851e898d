"""What autograd holds in place of saved tensors that are made again, and what fills them."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from ..upstream import detached, storage_id, version


class Slot:
    """What autograd holds in place of a saved tensor.

    Attributes:
        place, version, kind: Of the tensor: where it is, whether it is written to, and what.
        storage: The tensor's, held weakly.
        tensor: The tensor, where it is there.
        source: Which one of the function's input tensors it is, if any.
        number: Of the operation that it is a kept output of, if any.
    """

    def __init__(
        self, tensor: Tensor, place: tuple[Any, ...], source: int | None, number: int | None
    ) -> None:
        self.place, self.kind, self.version = place, _kind(tensor), version(tensor)
        self.storage = weakref.ref(tensor.untyped_storage())
        self.tensor: Tensor | None = None
        self.source, self.number = source, number

    def is_there(self) -> bool:
        """Whether nothing needs to be computed for it."""
        unchanged = self.tensor is not None and version(self.tensor) == self.version
        return unchanged or self.source is not None

    def fill(self, tensor: Tensor) -> None:
        """Take what the second run has made.

        Raises:
            RuntimeError: It is something else.
        """
        if _kind(tensor) != self.kind:
            raise RuntimeError(
                'a function that is recomputed must do the same in both runs: autograd saved '
                f'{self.kind} in the first and {_kind(tensor)} in the second'
            )
        self.tensor, self.version = tensor, version(tensor)


class AllThere(Exception):
    """Ends a second run.

    Attributes:
        filler: Whose run it is: functions that recompute may be nested.
    """

    def __init__(self, filler: Any) -> None:
        super().__init__()
        self.filler = filler


class Filler:
    """Fills slots with what autograd saves in a second run, and ends it with the last one."""

    def __init__(self, missing: dict[int, Slot]) -> None:
        self.missing = missing
        self.last, self.count = max(missing), 0

    def pack(self, tensor: Tensor) -> Tensor:
        """Take a tensor; the graph of the second run keeps it as it is."""
        tensor = detached(tensor) if tensor.requires_grad and not is_parameter(tensor) else tensor
        slot = self.missing.get(self.count)
        if slot is not None:
            slot.fill(tensor)
        self.count += 1
        if self.count > self.last:
            raise AllThere(self)
        return tensor


def is_parameter(tensor: Tensor) -> bool:
    """Whether a tensor is a parameter."""
    # A fake parameter is one by what it says; to ask takes time.
    return type(tensor) is nn.Parameter or (
        type(tensor) is not Tensor and isinstance(tensor, nn.Parameter)
    )


def place_of(tensor: Tensor) -> tuple[Any, ...]:
    """Return where a tensor's values are; to be compared only while its storage is there."""
    where = storage_id(tensor.untyped_storage()), tensor.storage_offset()
    return *where, tensor.shape, tensor.stride(), tensor.dtype


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype, torch.device]:
    return tensor.shape, tensor.dtype, tensor.device
