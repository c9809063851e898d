"""Recompute: activations that are computed a second time, in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..measure.flops import is_compute
from ..upstream import (
    TorchDispatchMode,
    own_buffers,
    storage_id,
    tree_flatten,
    tree_map_only,
    tree_unflatten,
)
from .layerwise import OneSlot, Outputs
from .offload import Hosted, active
from .operations import (
    Saved,
    argument,
    is_random,
    operation_name,
    saved_indices,
    storages_of,
    written_arguments,
)
from .saved_tensors import SavedTensors

BATCH_NORM = nn.BatchNorm2d.forward
"""In training it only writes to its buffers, as that of synchronized ones, and needs no counter."""


def recompute(
    function: Callable[..., Any],
    *args: Any,
    saved: Saved,
    norms: Sequence[nn.Module] = (),
    lasting: bool = False,
) -> Any:
    """Run a function so that few of its activations live until the backward pass.

    These are its inputs, what it returns, the outputs of the chosen compute operations
    (convolutions, matrix products, attention) and what is negligible; all others are computed again
    there. Gradients, buffers and random numbers are those of ``function(*args)``, bit for bit.

    Args:
        function: What it does with its arguments and the state of the program is the same in both
            runs; it does not write to its arguments.
        args: Nests of tensors and plain values.
        saved: ``'units'`` keeps no operation's output, ``'cheap'`` every one's, so that the second
            run costs no FLOPs; or the numbers of those to keep, in call order, with or without
            their names. ``'layers'`` keeps none either, and makes one saved tensor at a time, in
            as many runs, of which each goes through all that is before it.
        norms: Modules of the function whose buffers a run updates: batch norms.
        lasting: Whether the caller holds what is returned until the backward pass has run; else
            it may be computed again.

    Raises:
        ValueError: ``saved`` is another word, or has numbers that no operation has, or an operation
            of another name.
    """
    chosen = saved_indices(saved)
    if not torch.is_grad_enabled():
        return function(*args)
    leaves, structure = tree_flatten(args)
    kept: dict[int, Any] = {}
    first = _FirstRun(chosen, kept)

    def run(*leaves: Any) -> Any:
        return function(*tree_unflatten(leaves, structure))

    second, one_slot = _SecondRun(kept, norms), None
    if saved == 'layers':
        outputs = Outputs(kept)
        second, one_slot = _RunToOneSlot(outputs, norms), partial(OneSlot, outputs=outputs)
    tensors = SavedTensors(run, leaves, second, kept, first.number_of, one_slot)
    with tensors.hooks(), first:
        result = run(*leaves)
    first.release(result)
    tensors.release(result, lasting)
    host = active()
    if host is not None:
        tensors.send_to_host(host)
    _check_numbers(saved, first.count)
    return result


def _check_numbers(saved: Saved, count: int) -> None:
    if not isinstance(saved, str) and not set(saved) <= set(range(count)):
        raise ValueError(
            f'saved must be numbers of compute operations, from 0 to {count - 1}, '
            f'got {sorted(saved)}'
        )


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


class _FirstRun(TorchDispatchMode):
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


class _SecondRun(TorchDispatchMode):
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


class _RunToOneSlot(_SecondRun):
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


@contextmanager
def unchanged_buffers(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Context in which layers update copies of their own buffers, which are then thrown away."""
    before = [(buffers, dict(buffers)) for buffers in map(own_buffers, modules)]
    spare: dict[Any, Tensor] = {}
    try:
        for module, (buffers, values) in zip(modules, before, strict=True):
            for name, value in values.items():
                if value is not None:
                    buffers[name] = _stand_in(module, name, value, spare)
        yield
    finally:
        for buffers, values in before:
            buffers.update(values)


def _stand_in(module: nn.Module, name: str, buffer: Tensor, spare: dict[Any, Tensor]) -> Any:
    """Return what may be updated in the place of a buffer; norms that only write to it share."""
    is_plain = type(module).forward is BATCH_NORM
    is_norm = is_plain or type(module) is nn.SyncBatchNorm
    if not is_norm or not module.training or module.momentum is None:
        return buffer.clone()
    if name == 'num_batches_tracked':
        return None if is_plain else buffer.clone()
    key = buffer.shape, buffer.dtype, buffer.device
    if key not in spare:
        spare[key] = buffer.clone()
    return spare[key]


def _map_tensors(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    if isinstance(values, Tensor):  # most are, and a nest takes longer
        return function(values)
    return tree_map_only(Tensor, function, values)
