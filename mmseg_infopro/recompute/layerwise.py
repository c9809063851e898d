"""Recomputing layer by layer: each saved tensor is made when it is needed, and gone after that."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor

from ..measure.flops import count_flops
from ..upstream import storage_id
from .operations import argument, is_random, storages_of, written_arguments
from .slots import AllThere, Slot, place_of

DEAR = 1500
"""FLOPs for each value that an operation returns, from which on it is not made several times: a
1x1 convolution of 750 channels, one of 3x3 of 83."""


class Outputs:
    """What compute operations made in a run, to be used by the next ones.

    A run that makes only one saved tensor passes through all layers before it; those that cost many
    FLOPs are passed through once.

    Args:
        kept: The outputs, by the numbers of their operations. Whoever has used one up takes it out.
    """

    def __init__(self, kept: dict[int, Any]) -> None:
        self.kept = kept
        self._number_of: dict[int, int] = {}

    def call(self, number: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a compute operation, or hand out what it made before."""
        if number in self.kept:
            return self.kept[number].detach()
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and not is_random(func, args, kwargs):
            flops = count_flops(func, result, args, kwargs)
            if flops >= DEAR * result.numel():
                self.kept[number] = result.detach()
                self._number_of[storage_id(result.untyped_storage())] = number
        return result

    def about_to_run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forget outputs that an operation writes to."""
        if self.kept:
            for place in written_arguments(func):
                for storage in storages_of(argument(place, args, kwargs)):
                    self.kept.pop(self._number_of.get(storage, -1), None)

    def number_of(self, tensor: Tensor) -> int | None:
        """Return the number of the operation whose kept output a tensor is, if it is one."""
        where = storage_id(tensor.untyped_storage())
        number = self._number_of.get(where, -1)
        kept = self.kept.get(number)
        # A storage that is gone may have left its address to another one.
        is_there = kept is not None and storage_id(kept.untyped_storage()) == where
        return number if is_there else None


class OneSlot:
    """Fills one slot in a run, those of the same tensor, and of outputs that are there anyway.

    Args:
        slots: Those that are missing, by the order in which autograd saves them.
        wanted: Number of the one.
        outputs: Of this run.
    """

    def __init__(self, slots: dict[int, Slot], wanted: int, outputs: Outputs) -> None:
        self._slots, self._wanted, self._outputs = slots, wanted, outputs
        self._count = 0
        self._passed: list[tuple[Slot, tuple[Any, ...], Any]] = []

    def pack(self, tensor: Tensor) -> None:
        """Take a tensor; nothing is left for the graph of this run, which nobody goes back."""
        slot, is_wanted = self._slots.get(self._count), self._count == self._wanted
        self._count += 1
        if slot is not None:
            number = self._outputs.number_of(tensor)
            if is_wanted or number is not None:
                slot.fill(tensor.detach())
                slot.number = number
            else:
                reference = weakref.ref(tensor.untyped_storage())
                self._passed.append((slot, place_of(tensor), reference))
        if is_wanted:
            for passed, place, reference in self._passed:
                if reference() is tensor.untyped_storage() and place == place_of(tensor):
                    passed.fill(tensor.detach())
            raise AllThere(self)
