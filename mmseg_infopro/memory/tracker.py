"""Counts the bytes of all tensors alive, as operations make them and references drop them."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

OTHER = 'activations'


class MemoryTracker(TorchDispatchMode):
    """Tracks the storages of every tensor that an operation returns, and their peak.

    torch's own ``torch.distributed._tools.MemTracker`` measures the same, but thinks in module
    calls and cannot see a backward pass between two of them, which is what a local step is made
    of. On fake tensors a storage has its real size, and no memory.

    Args:
        label: Says where the program is, for ``labels``.

    Attributes:
        peak_bytes: Bytes by kind at the moment when most were alive.
        timeline: Bytes alive after each operation.
        labels: Where the program was then.
    """

    def __init__(self, label: Callable[[], Any] = lambda: None) -> None:
        super().__init__()
        self._label = label
        self.timeline: list[int] = []
        self.labels: list[Any] = []
        self.alive_bytes: Counter[str] = Counter()
        self.peak_bytes: Counter[str] = Counter()
        self._kinds = WeakIdKeyDictionary(ref_type=weakref.ref)

    def track(self, tensors: Iterable[Tensor], kind: str) -> None:
        """Count tensors as of one kind, whether they were seen before or not."""
        for tensor in tensors:
            self._count(tensor, kind)
        self._update_peak()

    def track_gradients(self, module: nn.Module) -> None:
        """Count what accumulates in the parameters' ``grad`` as gradients."""
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(
                    lambda parameter: self._count(parameter.grad, 'gradients')
                )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation and count the storages that it returns."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage() not in self._kinds:
                self._count(leaf, OTHER)
        self._update_peak()
        self.timeline.append(self.alive_bytes.total())
        self.labels.append(self._label())
        return result

    def restart(self) -> None:
        """Forget the operations up to now, but not what they left alive."""
        self.timeline, self.labels = [], []
        self.peak_bytes = self.alive_bytes.copy()

    def _count(self, tensor: Tensor, kind: str) -> None:
        storage = tensor.untyped_storage()
        before = self._kinds.get(storage)
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
