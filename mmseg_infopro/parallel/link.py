"""Borders between neighbouring processes of a pipeline: torch's point-to-point operations."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..local.carried import Carried
from .border_format import Slot, contents, filled, layout, slots, tensors, with_contents
from .watch import Watch


class Link:
    """What passes a border, from the process before and to the one behind.

    Shapes are announced for the first batch of each size, and not again: all processes of a
    pipeline load the same batch, so each knows which of them is the next. What is sent is kept
    until it has arrived; beyond ``in_flight`` batches the sender waits.

    Args:
        ranks: The processes of this pipeline, in the order of their modules.
        stage: The place of this process among them.
        group: Theirs, for tensors.
        control: Theirs as well, of gloo, for what tells of them.
        watch: Explains waits that fail.
        in_flight: How many batches may be on their way.
        wire_dtype: In which 32-bit floats travel; None leaves them as they are.

    Attributes:
        sent: What is on its way: its operations, and the memory that they read.
    """

    def __init__(
        self,
        ranks: Sequence[int],
        stage: int,
        group: dist.ProcessGroup,
        control: dist.ProcessGroup,
        watch: Watch,
        in_flight: int = 2,
        wire_dtype: torch.dtype | None = None,
    ) -> None:
        self.ranks, self.stage = ranks, stage
        self.group, self.control = group, control
        self.watch = watch
        self.in_flight = in_flight
        self._wire_dtype = wire_dtype
        self.sent: deque[tuple[list[dist.Work], list[Tensor]]] = deque()
        self._received: dict[Any, Any] = {}
        self._announced: dict[Any, Any] = {}

    def choose(self, iteration: int, data: dict[str, Any]) -> dict[str, Any] | None:
        """Return the samples to train on in an iteration: those that were loaded for it."""
        return data

    def send(self, carried: Carried) -> None:
        """Begin to send what a module left; waits only where ``in_flight`` others are on their way.

        Raises:
            LostProcessError: The process behind is.
            RuntimeError: A border has another layout than before, for a batch of the same size.
        """
        nest = contents(carried)
        laid_out = layout(nest)
        self._announce(carried.image.shape, laid_out, self.ranks[self.stage + 1])
        self.send_flat(laid_out, self.flatten(tensors(nest)))

    def send_flat(self, laid_out: Any, flat: list[Tensor]) -> None:
        """Begin to send the tensors of a layout, as they travel."""
        rank = self.ranks[self.stage + 1]
        while len(self.sent) >= self.in_flight:
            self.wait(self.sent.popleft()[0], rank)
        with self.watch.waiting(rank):
            self.sent.append((self.begin(dist.isend, flat, rank), flat))

    def receive(self, own: Carried, backbone: Any) -> Carried:
        """Return what the next batch's module starts from.

        Args:
            own: The batch, as this process loaded it.
            backbone: Of the model.

        Raises:
            LostProcessError: The process before is.
        """
        rank = self.ranks[self.stage - 1]
        laid_out = self._layout(own.image.shape, rank)
        flat = self.receive_flat(laid_out, own.image.device)
        values = [slot.placed(memory) for slot, memory in zip(slots(laid_out), flat, strict=True)]
        return with_contents(own, filled(laid_out, values), backbone)

    def finish(self) -> None:
        """Wait until all that was sent has arrived."""
        while self.sent:
            self.wait(self.sent.popleft()[0], self.ranks[self.stage + 1])

    def meet(self) -> None:
        """Wait until all processes of the pipeline are here."""
        with self.watch.waiting():
            dist.barrier(self.control)

    def gather(self, value: Any) -> list[Any]:
        """Return each process's value on the first one of the pipeline, and nothing on others."""
        is_first = self.stage == 0
        everyones: list[Any] = [None] * len(self.ranks)
        with self.watch.waiting():
            dist.gather_object(
                value, everyones if is_first else None, self.ranks[0], group=self.control
            )
        return everyones if is_first else []

    def share(self, value: Any) -> Any:
        """Return the value of the first process of the pipeline on all of them."""
        shared = [value]
        with self.watch.waiting():
            dist.broadcast_object_list(shared, self.ranks[0], group=self.control)
        return shared[0]

    def flatten(self, leaves: list[Tensor]) -> list[Tensor]:
        """Return tensors as they travel: contiguous, in the type on the wire."""
        return [Slot.of(leaf).flat(leaf).to(self._on_wire(leaf.dtype)) for leaf in leaves]

    def receive_flat(self, laid_out: Any, device: torch.device) -> list[Tensor]:
        """Return the tensors of a layout as they travelled from the process before."""
        rank = self.ranks[self.stage - 1]
        flat = self.empty(laid_out, device)
        with self.watch.waiting(rank):
            works = self.begin(dist.irecv, flat, rank)
        self.wait(works, rank)
        return flat

    def empty(self, laid_out: Any, device: torch.device) -> list[Tensor]:
        """Return memory for the tensors of a layout as they travel."""
        return [slot.empty(device, self._on_wire(slot.dtype)) for slot in slots(laid_out)]

    def _on_wire(self, dtype: torch.dtype) -> torch.dtype:
        return self._wire_dtype or dtype if dtype == torch.float32 else dtype

    def begin(self, operation: Any, flat: list[Tensor], rank: int) -> list[dist.Work]:
        """Begin ``dist.isend`` or ``dist.irecv`` of all tensors together."""
        if not flat:
            return []
        works: list[dist.Work] = dist.batch_isend_irecv(
            [dist.P2POp(operation, memory, rank, self.group) for memory in flat]
        )
        return works

    def wait(self, works: list[dist.Work], rank: int) -> None:
        """Wait for operations with another process, no longer than the watch allows."""
        for work in works:
            with self._waiting(rank):
                if dist.get_backend(self.group) == 'gloo':
                    work.wait(timedelta(seconds=self.watch.timeout))
                else:  # the device's stream waits, and not this process
                    work.wait()

    def _waiting(self, rank: int) -> AbstractContextManager[None]:
        return self.watch.waiting(rank)

    def _announce(self, size: Any, laid_out: Any, rank: int) -> None:
        if size not in self._announced:
            with self.watch.waiting(rank):
                dist.send_object_list([laid_out], rank, group=self.control)
            self._announced[size] = laid_out
        elif self._announced[size] != laid_out:
            raise RuntimeError(
                f'the border behind local module {self.stage} has another layout than before for '
                f'images of {tuple(size)}: {laid_out}, before {self._announced[size]}'
            )

    def _layout(self, size: Any, rank: int) -> Any:
        if size not in self._received:
            announced: list[Any] = [None]
            with self.watch.waiting(rank):
                dist.recv_object_list(announced, rank, group=self.control)
            self._received[size] = announced[0]
        return self._received[size]
