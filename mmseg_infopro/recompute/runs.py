"""The two runs of a function: what sees each operation, keeps outputs and hands them out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..measure.flops import is_compute
from ..upstream import TorchDispatchMode, storage_id, tree_map_only
from .buffers import unchanged_buffers
from .layerwise import Outputs
from .offload import Hosted, active
from .operations import argument, is_random, operation_name, storages_of, written_arguments


class FirstRun(TorchDispatchMode):
    """Keeps the outputs of the chosen compute operations.

    torch's selective checkpointing matches every operation of the two runs, which differ where
    autocast has a weight in its cache, and refuses outputs that are written to afterwards, as an
    inplace activation function does to a convolution's.
    """

    def __init__(self, chosen: Collection[int], kept: dict[int, Any]) -> None:
        super().__init__()
        self.chosen = chosen
        self.kept = kept
        self.count = 0
        self.index_of: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation; keep its output if that is chosen."""
        kwargs = kwargs or {}
        if self.kept and (written := written_arguments(func)):
            for place in written:
                self._copy_before(argument(place, args, kwargs))
        result = func(*args, **kwargs)
        if is_compute(func):
            if self.count in self.chosen:
                _check_name(self.chosen, self.count, func)
            if self.count in self.chosen and not is_random(func, args, kwargs):
                # Detached, or it would hold its own graph.
                is_tensor = isinstance(result, Tensor)
                kept = (
                    result.detach() if is_tensor else tree_map_only(Tensor, Tensor.detach, result)
                )
                self.kept[self.count] = kept
                self.index_of |= dict.fromkeys(storages_of(result), self.count)
            self.count += 1
        return result

    def number_of(self, tensor: Tensor) -> int | None:
        """Return the number of the operation whose kept output a tensor is or is part of."""
        return self.index_of.get(storage_id(tensor.untyped_storage()))

    def _copy_before(self, written: Any) -> None:
        for storage in storages_of(written):
            index = self.index_of.pop(storage, -1)
            if index in self.kept:
                self.kept[index] = _map_tensors(Tensor.clone, self.kept[index])

    def release(self, result: Any) -> None:
        """Leave what the function returns to its caller, who may write to it."""
        for storage in storages_of(result):
            self.kept.pop(self.index_of.get(storage, -1), None)


class SecondRun(TorchDispatchMode):
    """Hands out what the first run kept, and spares the buffers of norms a second update."""

    def __init__(self, kept: dict[int, Any], norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.kept = kept
        self.norms = norms
        self.host: Any = active()

    def __enter__(self) -> Any:
        self.count = 0
        self.copies = unchanged_buffers(self.norms)
        self.copies.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.copies.__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation, unless its output was kept."""
        if is_compute(func):
            self.count += 1
            if self.count - 1 in self.kept:
                kept = self.kept.pop(self.count - 1)
                return self.host.unpack(kept) if isinstance(kept, Hosted) else kept
        return func(*args, **(kwargs or {}))


class RunToOneSlot(SecondRun):
    """The same where each run makes one saved tensor."""

    def __init__(self, outputs: Outputs, norms: Sequence[nn.Module]) -> None:
        super().__init__(outputs.kept, norms)
        self.outputs = outputs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation, unless an earlier run did and its output was kept."""
        kwargs = kwargs or {}
        self.outputs.about_to_run(func, args, kwargs)
        if not is_compute(func):
            return func(*args, **kwargs)
        self.count += 1
        return self.outputs.call(self.count - 1, func, args, kwargs)


def _check_name(saved: Collection[int], number: int, func: Any) -> None:
    """Check that an operation is the one that was chosen: devices may run different ones."""
    expected = saved.get(number) if isinstance(saved, Mapping) else None
    if expected and operation_name(func) != expected:
        raise ValueError(
            f'saved has operation {number} as {expected}, and it is {operation_name(func)} here: '
            'this device, or this version of torch, runs other operations than those that were '
            "numbered; for this group of local.recompute set saved='cheap' or 'units', or list the "
            'operations of this device'
        )


def _map_tensors(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    if isinstance(values, Tensor):  # most are, and a nest takes longer
        return function(values)
    return tree_map_only(Tensor, function, values)
