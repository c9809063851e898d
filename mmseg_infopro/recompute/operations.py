"""The compute operations of a function, and what autograd saves of its activations."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..measure.flops import count_flops, is_compute
from ..upstream import TorchDispatchMode, schema_arguments, storage_id, tree_leaves

Saved = Literal['units', 'cheap', 'layers'] | Collection[int]
"""Which compute operations of a unit keep their outputs for the backward pass: none, all, or those
with these numbers, in call order; a mapping gives their names as well, to be checked."""


def operation_name(func: Any) -> str:
    """Return a compute operation's name as in ``torch.ops.aten``.

    The kernels of fused attention, of which each device has its own, are all ``'attention'``.
    """
    name = func.overloadpacket.__name__
    return 'attention' if 'attention' in name else name


def saved_indices(saved: Saved) -> Collection[int]:
    """Return the numbers of the compute operations that keep their outputs.

    Raises:
        ValueError: ``saved`` is another word.
    """
    if saved == 'cheap':
        return range(sys.maxsize)  # whatever their number
    if isinstance(saved, str) and saved not in ('units', 'layers'):
        raise ValueError(
            f"saved must be 'units', 'cheap', 'layers' or numbers of operations, got {saved!r}"
        )
    return () if isinstance(saved, str) else saved


@dataclass(frozen=True)
class ComputeOperation:
    """One convolution, matrix product or attention.

    Attributes:
        name: See :func:`operation_name`.
        flops: Of one run.
        output_bytes: Of what it returns.
        saved: Whether autograd saves what it returns.
        repeated: Whether recomputing runs it again, if its output is not kept. It ends where
            autograd has saved its last tensor, so that the last operations may not be reached.
        returned: Whether the function returns its output, as it is or a view: nothing to keep.
    """

    name: str
    flops: int
    output_bytes: int
    saved: bool
    repeated: bool
    returned: bool

    def kept(self, index: int, saved: Saved) -> bool:
        """Whether its output is kept between the passes, if its number is ``index``."""
        return not self.returned and index in saved_indices(saved)


@dataclass(frozen=True)
class Activations:
    """What a function leaves for the backward pass, its inputs and what it returns apart.

    Attributes:
        operations: The compute operations, in call order.
        other_bytes: Everything else that autograd saves, each storage once: of norms,
            activation functions, additions, resizing, and copies of weights in mixed precision.
        output_bytes: What the function makes and returns.
    """

    operations: tuple[ComputeOperation, ...]
    other_bytes: int
    output_bytes: int

    @property
    def saved_bytes(self) -> int:
        """Bytes held between the passes without recomputing."""
        operations = (op for op in self.operations if op.saved and not op.returned)
        return self.other_bytes + sum(op.output_bytes for op in operations)

    def kept_bytes(self, saved: Saved) -> int:
        """Return the bytes held between the passes with recomputing."""
        return sum(op.output_bytes for i, op in enumerate(self.operations) if op.kept(i, saved))

    def repeated_flops(self, saved: Saved) -> int:
        """Return the FLOPs that recomputing adds to the step."""
        operations = enumerate(self.operations)
        return sum(op.flops for i, op in operations if op.repeated and not op.kept(i, saved))

    def worth_keeping(self) -> frozenset[int]:
        """Return the fewest operations whose outputs make recomputing run none of them again."""
        operations = enumerate(self.operations)
        return frozenset(i for i, op in operations if op.repeated and not op.returned)


def measure_activations(function: Callable[..., Any], *args: Any) -> Activations:
    """Run a function once, forward, and return what it would leave for the backward pass.

    To be called inside a ``FakeTensorMode``. Tensors that exist before, as parameters, buffers and
    the inputs, count nowhere.

    Args:
        function: To run; its parameters or inputs require gradients.
        args: Its arguments.
    """
    recorder = _Recorder()
    with saved_tensors_hooks(recorder.pack, lambda tensor: tensor), recorder:
        returned = storages_of(function(*args))
    num_bytes = {key: storage.nbytes() for key, storage in recorder.made.items()}
    of_operations = {key for outputs in recorder.outputs for key in outputs}
    others = recorder.saved - of_operations - returned.keys()
    operations = tuple(
        ComputeOperation(
            name,
            flops,
            sum(num_bytes[key] for key in outputs),
            saved=not recorder.saved.isdisjoint(outputs),
            repeated=index < recorder.last_packed,
            returned=not returned.keys().isdisjoint(outputs),
        )
        for index, (name, flops, outputs) in enumerate(
            zip(recorder.names, recorder.flops, recorder.outputs, strict=True)
        )
    )
    return Activations(
        operations,
        other_bytes=sum(num_bytes[key] for key in others),
        output_bytes=sum(num_bytes.get(key, 0) for key in returned),
    )


class _Recorder(TorchDispatchMode):
    """Records which storages operations make, and which of them autograd saves.

    Attributes:
        made: By address; kept, so that no address is used twice.
        saved: Addresses of those that autograd saves.
        names, flops, outputs: Of the compute operations.
        last_packed: How many of them had run when autograd saved its last tensor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, torch.UntypedStorage] = {}
        self.saved: set[int] = set()
        self.names: list[str] = []
        self.flops: list[int] = []
        self.outputs: list[set[int]] = []
        self.last_packed = 0

    def pack(self, tensor: Tensor) -> Tensor:
        """See what autograd saves."""
        self.saved |= storages_of(tensor).keys() & self.made.keys()
        self.last_packed = len(self.names)
        return tensor

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation and record it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = storages_of((args, kwargs))
        made = {key: value for key, value in storages_of(result).items() if key not in given}
        self.made |= made
        if is_compute(func):
            self.names.append(operation_name(func))
            self.flops.append(count_flops(func, result, args, kwargs))
            self.outputs.append(set(made))
        return result


def storages_of(values: Any) -> dict[int, torch.UntypedStorage]:
    """Return the storages of all tensors in a nest, by address."""
    if isinstance(values, Tensor):  # most are
        storage = values.untyped_storage()
        return {storage_id(storage): storage}
    tensors: Iterable[Tensor] = (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))
    return {storage_id(tensor.untyped_storage()): tensor.untyped_storage() for tensor in tensors}


Place = tuple[int, str, Any]
"""Of an argument: its position, name and default value."""


def argument(place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what an operation was called with."""
    position, name, default = place
    return args[position] if position < len(args) else kwargs.get(name, default)


# Cached: reading a schema or tags takes longer than a small operation.
@cache
def written_arguments(func: Any) -> tuple[Place, ...]:
    """Return which arguments an operation writes to."""
    return tuple(
        (position, a.name, a.default_value)
        for position, a in enumerate(schema_arguments(func))
        if a.alias_info is not None and a.alias_info.is_write
    )


@cache
def _dropout_rate(func: Any) -> Place | None:
    """Return where an operation that draws random numbers takes the rate of its dropout."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return None
    names = [argument.name for argument in schema_arguments(func)]
    return (names.index('dropout_p'), 'dropout_p', 0.0) if 'dropout_p' in names else (999, '', 1.0)


def is_random(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it draws random numbers: unless it did so again, later ones would be others."""
    place = _dropout_rate(func)
    return place is not None and argument(place, args, kwargs) > 0
