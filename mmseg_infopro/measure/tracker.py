"""Counts the bytes of all tensors alive, as operations make them and references drop them."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from ..upstream import (
    READ_DEVICE,
    TorchDispatchMode,
    device_of,
    in_backward_pass,
    tree_leaves,
    use_counts,
)
from .flops import count_flops, is_compute

OTHER = 'activations'
_ADD = torch.ops.aten.add.Tensor
Watch = Callable[[Any, Any, Any, Any], None]
Uses = tuple[int, int]
"""Of a tensor, and of its storage."""


class MemoryTracker(TorchDispatchMode):
    """Tracks the storages of every tensor that an operation returns, and their peak.

    torch's own ``torch.distributed._tools.MemTracker`` measures the same, but thinks in module
    calls and cannot see a backward pass between two of them, which is what a local step is made
    of. On fake tensors a storage has its real size, and no memory.

    Where several gradients meet, autograd adds them in place, but not under a dispatch mode. The
    tracker does so for it: a map less at the peak of a head with several branches.

    Args:
        label: Says where the program is, for ``labels``.
        watch: Is told of every operation, its result and its arguments.

    Attributes:
        peak_bytes: Bytes by kind at the moment when most were alive.
        timeline: Bytes alive after each operation.
        labels: Where the program was then.
        flops: Of the operations, see :mod:`.flops`.
        host_bytes: That came to the host, for which the device ``meta`` stands; none is counted as
            alive.
    """

    def __init__(self, label: Callable[[], Any] = lambda: None, watch: Watch | None = None) -> None:
        super().__init__()
        self._label = label
        self._watch = watch
        self._uses = uses_by_autograd()
        self.timeline: list[int] = []
        self.labels: list[Any] = []
        self.flops = self.host_bytes = 0
        self.alive_bytes: Counter[str] = Counter()
        self.peak_bytes: Counter[str] = Counter()
        self._kinds = WeakIdKeyDictionary(ref_type=weakref.ref)

    def track(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Count tensors as of one kind, whether they were seen before or not."""
        for tensor in tensors:
            self._count(tensor, kind)
        self._update_peak()

    def track_gradients(self, module: nn.Module) -> set[nn.Parameter]:
        """Count what accumulates in the parameters' ``grad`` as gradients.

        Returns:
            A set to which each parameter is added when it gets a gradient.
        """
        seen: set[nn.Parameter] = set()

        def count(parameter: nn.Parameter) -> None:
            seen.add(parameter)
            if parameter.grad is not None:
                self._count(parameter.grad, 'gradients')

        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(count)
        return seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation and count the storages that it returns."""
        if func is READ_DEVICE:  # asked of every other tensor, and makes nothing
            return device_of(args[0])
        kwargs = kwargs or {}
        if func is _ADD and not kwargs and adds_in_place(*args, uses=self._uses):
            result = args[0].add_(args[1])
        else:
            result = func(*args, **kwargs)
        if is_compute(func):
            self.flops += count_flops(func, result, args, kwargs)
        if self._watch is not None:
            self._watch(func, result, args, kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage() not in self._kinds:
                self._count(leaf, OTHER)
        self._update_peak()
        self.timeline.append(self.alive_bytes.total())
        self.labels.append(self._label())
        return result

    def restart(self) -> None:
        """Forget the operations up to now, but not what they left alive."""
        self.timeline, self.labels, self.flops, self.host_bytes = [], [], 0, 0
        self.peak_bytes = self.alive_bytes.copy()

    def _count(self, tensor: Tensor, kind: str) -> None:
        storage = tensor.untyped_storage()
        before = self._kinds.get(storage)
        if tensor.device.type == 'meta':
            if before is None:
                self._kinds[storage] = ['host']
                self.host_bytes += storage.nbytes()
            return
        if before is None:
            holder = [kind]
            self._kinds[storage] = holder
            weakref.finalize(storage, self._drop, holder, storage.nbytes())
        else:
            self.alive_bytes[before[0]] -= storage.nbytes()
            before[0] = kind
        self.alive_bytes[kind] += storage.nbytes()

    def _drop(self, holder: list[str], num_bytes: int) -> None:
        self.alive_bytes[holder[0]] -= num_bytes

    def _update_peak(self) -> None:
        if self.alive_bytes.total() > self.peak_bytes.total():
            self.peak_bytes = self.alive_bytes.copy()


def adds_in_place(total: Tensor, value: Any, *alpha: Any, uses: Uses | None) -> bool:
    """Whether autograd, out of reach of dispatch modes, would add ``value`` to ``total`` in place.

    The conditions are those of torch's ``InputBuffer``: nobody else holds the sum so far.

    Args:
        total: The gradient up to now.
        value: What is added to it.
        alpha: Of a general addition.
        uses: See :func:`uses_by_autograd`.
    """
    return (
        uses is not None
        and in_backward_pass()
        and not torch.is_grad_enabled()
        and not alpha
        and isinstance(value, Tensor)
        and (total.shape, total.dtype) == (value.shape, value.dtype)
        and total.layout is torch.strided
        and torch.ops.aten.is_non_overlapping_and_dense(total)
        and uses == use_counts(total)
    )


@cache
def uses_by_autograd() -> Uses | None:
    """Return the uses that a dispatch mode counts of a tensor which only autograd's engine holds.

    Measured on a graph in which two gradients meet; None where torch does not count uses.
    """
    counter = _UseCounter()
    point = torch.zeros(2, requires_grad=True)
    with counter, torch.enable_grad():
        doubled = point * 2
        (doubled.exp().sum() + doubled.sin().sum()).backward()
    return counter.uses


class _UseCounter(TorchDispatchMode):
    uses: Uses | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation; count the uses of a gradient that is added to."""
        if func is _ADD and in_backward_pass():
            self.uses = use_counts(args[0])
        return func(*args, **(kwargs or {}))
