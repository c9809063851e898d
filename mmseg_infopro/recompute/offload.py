"""Offload: what a graph saves for its backward pass waits in the memory of the host."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ..upstream import FakeTensor, storage_id, version

SMALLEST = 2**20
"""Bytes below which a tensor stays on the device: a copy would take longer than it is worth."""
IN_FLIGHT = 2
"""Tensors that may be on their way to the host at once; each is on the device until it is there."""


class HostMemory:
    """Keeps saved tensors on the host from when they are saved until they are needed.

    On a GPU the copies run in a stream of their own, from and to pinned memory, beside the
    computation: on the way out :data:`IN_FLIGHT` tensors wait for theirs, on the way back the next
    one is fetched while one is used. Each tensor is copied once, however often it is saved. On a
    CPU it works, and saves nothing. For fake tensors the host is the device ``meta``.

    Args:
        resident: Tensors that stay on the device anyway.
        smallest: In place of :data:`SMALLEST`.
    """

    def __init__(self, resident: Sequence[Tensor] = (), smallest: int | None = None) -> None:
        self._resident = {storage_id(tensor.untyped_storage()) for tensor in resident}
        self._smallest = SMALLEST if smallest is None else smallest
        self._hosted: list[weakref.ref[Hosted]] = []
        self._by_place: dict[tuple[Any, ...], weakref.ref[Hosted]] = {}
        self._leaving: deque[tuple[Tensor, Any]] = deque()

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Context of a forward pass whose saved tensors go to the host."""
        before = _ACTIVE[:]
        _ACTIVE[:] = [self]
        try:
            with saved_tensors_hooks(self._save, self._load):
                yield
        finally:
            _ACTIVE[:] = before
            self._let_go(0)

    def pack(self, tensor: Tensor) -> Tensor | Hosted:
        """Send a tensor to the host, unless it stays."""
        if self._stays(tensor):
            return tensor.detach() if tensor.requires_grad and not tensor.is_leaf else tensor
        storage = tensor.untyped_storage()
        place = storage_id(storage), tensor.storage_offset(), tensor.shape, tensor.stride()
        known = self._by_place.get(place)
        hosted = known() if known is not None else None
        if hosted is None or not hosted.holds(tensor):
            hosted = Hosted(tensor, len(self._hosted))
            self._hosted.append(weakref.ref(hosted))
            self._by_place[place] = weakref.ref(hosted)
            self._leaving.append((tensor.detach(), hosted.send()))
            self._let_go(IN_FLIGHT)
        hosted.uses += 1
        return hosted

    def unpack(self, packed: Tensor | Hosted) -> Tensor:
        """Return a tensor on its device, and begin to fetch the one that was saved before it."""
        if isinstance(packed, Tensor):
            return packed
        tensor = packed.take()
        for reference in reversed(self._hosted[: packed.number]):
            earlier = reference()
            if earlier is not None and earlier.uses > 0:
                earlier.fetch()
                break
        return tensor

    def _save(self, tensor: Tensor) -> Hosted | tuple[Tensor, int]:
        packed = self.pack(tensor)
        return (packed, version(tensor)) if isinstance(packed, Tensor) else packed

    def _load(self, packed: Hosted | tuple[Tensor, int]) -> Tensor:
        if isinstance(packed, Hosted):
            return self.unpack(packed)
        tensor, before = packed
        if version(tensor) != before:  # autograd checks only what it holds itself
            raise RuntimeError(
                'a tensor that the backward pass needs was written to in place: it is of shape '
                f'{tuple(tensor.shape)}'
            )
        return tensor

    def _stays(self, tensor: Tensor) -> bool:
        return (
            tensor.nbytes < self._smallest
            or isinstance(tensor, nn.Parameter)
            or not torch.ops.aten.is_non_overlapping_and_dense(tensor)
            or storage_id(tensor.untyped_storage()) in self._resident
        )

    def _let_go(self, number: int) -> None:
        """Wait, on the device, until no more than so many tensors are on their way out."""
        while len(self._leaving) > number:
            _, sent = self._leaving.popleft()
            if sent is not None:
                torch.cuda.current_stream().wait_event(sent)


class Hosted:
    """A tensor on the host.

    Args:
        tensor: On the device.
        number: Of those that were sent before it.

    Attributes:
        uses: How often it will be asked for.
    """

    def __init__(self, tensor: Tensor, number: int) -> None:
        self.number, self.uses = number, 0
        self._device, self._version = tensor.device, version(tensor)
        self._storage = weakref.ref(tensor.untyped_storage())
        self._tensor = tensor.detach()
        self._back: Tensor | None = None
        self._fetched: Any = None

    def holds(self, tensor: Tensor) -> bool:
        """Whether it is of this tensor, which has its place, as it is now."""
        is_same = self._storage() is tensor.untyped_storage()
        return is_same and self._version == version(tensor)

    def send(self) -> Any:
        """Copy it to the host; return the event of its arrival, if that is waited for."""
        tensor = self._tensor
        if isinstance(tensor, FakeTensor):
            self._tensor = _empty_like(tensor, torch.device('meta'))
            return None
        if self._device.type != 'cuda':
            self._tensor = _empty_like(tensor, torch.device('cpu')).copy_(tensor)
            return None
        self._tensor = _empty_like(tensor, torch.device('cpu'), pin_memory=True)
        return _copy_beside(self._tensor, tensor)

    def fetch(self) -> None:
        """Begin to copy it back."""
        if self._back is not None:
            return
        if self._device.type == 'cuda' and not isinstance(self._tensor, FakeTensor):
            self._back = _empty_like(self._tensor, self._device)
            self._fetched = _copy_beside(self._back, self._tensor)
            self._back.record_stream(_stream())
        elif isinstance(self._tensor, FakeTensor):
            self._back = _empty_like(self._tensor, self._device)
        else:
            self._back = self._tensor

    def take(self) -> Tensor:
        """Return it on its device; after its last use it is gone from there."""
        self.fetch()
        tensor = self._back
        if self._fetched is not None:
            torch.cuda.current_stream().wait_event(self._fetched)
        self.uses -= 1
        if self.uses <= 0:
            self._back = self._fetched = None
        return tensor  # type: ignore[return-value]


_ACTIVE: list[HostMemory] = []
_STREAMS: dict[int, Any] = {}


def active() -> HostMemory | None:
    """Return where the saved tensors of the forward pass that runs go, if not to the device."""
    return _ACTIVE[0] if _ACTIVE else None


def _stream() -> Any:
    """Return the stream of the copies on the current GPU."""
    device = torch.cuda.current_device()
    if device not in _STREAMS:
        _STREAMS[device] = torch.cuda.Stream()
    return _STREAMS[device]


def _copy_beside(target: Tensor, source: Tensor) -> Any:
    """Copy in the stream of copies, after what the current one has to do; return its event."""
    stream = _stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        target.copy_(source, non_blocking=True)
        return stream.record_event()


def _empty_like(tensor: Tensor, device: torch.device, **kwargs: Any) -> Tensor:
    return torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device, **kwargs
    )
