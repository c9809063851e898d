"""What autograd saves of a function: what is not there in the backward pass is made again."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..upstream import detached, storage_id, tree_leaves, version
from .offload import HostMemory
from .slots import AllThere, Filler, Slot, is_parameter, place_of
from .surroundings import Surroundings

NEGLIGIBLE = 1 / 64
"""Tensors below this share of a function's inputs are kept, as the statistics of a norm."""


Held = tuple[Tensor, int]
"""A tensor that autograd holds as it is, and how often it had been written to."""


class SavedTensors:
    """The saved tensors of one call of a function, in place of ``torch.utils.checkpoint``.

    That one makes all of them again. Here parameters, inputs, kept outputs and negligible tensors
    are used as they are, and results too if they outlive the backward pass; the second run ends
    with the last one that is missing. So the norm and the activation that end a residual block do
    not run again, and what they return is not there twice.

    Args:
        function: Of the inputs.
        inputs: Tensors and plain values.
        second_run: Context of the second run; may be entered several times.
        kept: Outputs of compute operations, by number; they leave it when they are used.
        number_of: Returns which one of these a tensor is, if any.
        one_slot: Makes what fills a single slot in a run, of those that are missing and the place
            of the one among them; without it a run fills all.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        second_run: AbstractContextManager,
        kept: dict[int, Any],
        number_of: Callable[[Tensor], int | None],
        one_slot: Callable[[dict[int, Slot], int], Any] | None = None,
    ) -> None:
        self.function, self.second_run = function, second_run
        self.kept, self.number_of, self.one_slot = kept, number_of, one_slot
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        self.negligible = NEGLIGIBLE * sum(tensor.nbytes for tensor in tensors)
        self.surroundings = Surroundings(tensors)
        self.slots: list[Callable[[], Slot | None]] = []
        self.values = [None if isinstance(value, Tensor) else value for value in inputs]
        self.positions = [i for i, value in enumerate(inputs) if isinstance(value, Tensor)]
        self.sources = {place_of(tensor): i for i, tensor in enumerate(tensors)}
        # A node of the graph holds them: inside of another function that is computed again, they
        # are among its saved tensors. Older versions of torch drop a node's with its tensor.
        self.holder: Tensor = _Save.apply(torch.empty(0, requires_grad=True), *tensors)
        self.unpacked: Sequence[Tensor] | None = None

    def hooks(self) -> AbstractContextManager:
        """Return the context of the first run."""
        return saved_tensors_hooks(self._pack, self._unpack)

    def release(self, result: Any, lasting: bool) -> None:
        """Leave what the function returns to its caller, who may write to it.

        Args:
            result: A nest.
            lasting: Whether the caller holds it until the backward pass has run.
        """
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        returned = {storage_id(tensor.untyped_storage()): tensor for tensor in tensors}
        for slot in filter(None, (reference() for reference in self.slots)):
            storage = slot.storage()
            tensor = None if storage is None else returned.get(storage_id(storage))
            if tensor is not None or not slot.is_there():
                slot.tensor = None
            if lasting and tensor is not None and place_of(tensor) == slot.place:
                slot.tensor = tensor.detach()

    def send_to_host(self, host: HostMemory) -> None:
        """Let the kept outputs wait on the host; the second run hands them out."""
        for slot in filter(None, (reference() for reference in self.slots)):
            if slot.number in self.kept:
                slot.tensor = None
        for number, kept in self.kept.items():
            if isinstance(kept, Tensor):
                self.kept[number] = host.pack(kept)

    def _pack(self, tensor: Tensor) -> Slot | Held:
        if is_parameter(tensor) or self._is_negligible(tensor):
            self.slots.append(_nothing)
            return tensor, version(tensor)
        place = place_of(tensor)
        slot = Slot(tensor, place, self.sources.get(place), self.number_of(tensor))
        if slot.source is None and slot.number is not None:
            slot.tensor = detached(tensor)
        self.slots.append(weakref.ref(slot))
        return slot

    def _is_negligible(self, tensor: Tensor) -> bool:
        """Whether it is small and has no graph, which holding it would close to a cycle."""
        is_small = tensor.nbytes <= self.negligible and not tensor.requires_grad
        return is_small and tensor.untyped_storage().nbytes() <= self.negligible

    def _unpack(self, packed: Slot | Held) -> Tensor:
        if isinstance(packed, tuple):
            tensor, before = packed
            if version(tensor) != before:
                raise RuntimeError(
                    'a parameter or a small tensor that the backward pass needs was written to '
                    f'in place: it is of shape {tuple(tensor.shape)}'
                )
            return tensor
        slot = packed
        if not slot.is_there():
            self._run_again(slot)
        if slot.number is not None:
            self.kept.pop(slot.number, None)
        if slot.source is not None:
            return self._inputs()[slot.source].detach()
        if slot.tensor is None or not slot.is_there():
            raise RuntimeError(
                'a function that is recomputed must do the same in both runs: the second one '
                'ended before all that autograd saved in the first was there'
            )
        return slot.tensor

    def _inputs(self) -> Sequence[Tensor]:
        if self.unpacked is None:  # once: a checkpoint of torch's around gives no tensor twice
            self.unpacked = self.holder.grad_fn.saved_tensors  # type: ignore[union-attr]
        return self.unpacked

    def _run_again(self, wanted: Slot) -> None:
        slots = [reference() for reference in self.slots]
        missing = {i: slot for i, slot in enumerate(slots) if slot and not slot.is_there()}
        values = list(self.values)
        for position, tensor in zip(self.positions, self._inputs(), strict=True):
            values[position] = tensor
        filler: Any = Filler(missing)
        if self.one_slot is not None:
            filler = self.one_slot(missing, next(i for i in missing if missing[i] is wanted))
        del slots, missing
        hooks = saved_tensors_hooks(filler.pack, lambda tensor: tensor)
        with self.surroundings.restored(), self.second_run, torch.enable_grad(), hooks:
            try:
                self.function(*values)
            except AllThere as end:
                if end.filler is not filler:
                    raise
        if self.one_slot is None:
            self.kept.clear()  # what is missing no more has it


class _Save(torch.autograd.Function):
    """Returns a tensor whose node holds tensors as any operation does that saves its inputs."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, *tensors: Tensor) -> Tensor:
        """Save all but the anchor, which requires a gradient so that there is a node."""
        ctx.save_for_backward(*tensors)
        return anchor.clone()


def _nothing() -> None:
    """Stands for the slot of a tensor that needs none."""
