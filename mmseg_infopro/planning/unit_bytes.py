"""Bytes of what is saved, held and trained: of autograd, of nests of tensors and of units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import Unit, UnrolledBackbone, owned_parameters
from ..recompute.offload import SMALLEST
from ..upstream import storage_id, tree_leaves
from .costs import UnitBytes


class SavedBytes:
    """Context that counts the storages that autograd saves, each once.

    Args:
        apart: Tensors that do not count, as parameters.
    """

    def __init__(self, apart: Iterable[Tensor]) -> None:
        # The storages are kept, so that no address is used twice.
        self.known = {
            storage_id(tensor.untyped_storage()): tensor.untyped_storage() for tensor in apart
        }
        self.num_bytes = self.small_bytes = 0

    def __enter__(self) -> None:
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self.hooks.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage_id(storage) not in self.known:
            self.known[storage_id(storage)] = storage
            self.num_bytes += storage.nbytes()
            self.small_bytes += storage.nbytes() if storage.nbytes() < SMALLEST else 0
        return tensor

    def take(self) -> tuple[int, int]:
        """Return the bytes counted since the last call, and those too small to be offloaded."""
        found = self.num_bytes, self.small_bytes
        self.num_bytes = self.small_bytes = 0
        return found


def tensors_of(nest: Any) -> list[Tensor]:
    """Return the tensors of a nest."""
    return [leaf for leaf in tree_leaves(nest) if isinstance(leaf, Tensor)]


def offloaded(unit: UnitBytes, small: int, recomputes: bool) -> UnitBytes:
    """Return a unit's bytes where what it saves waits on the host.

    Args:
        unit: Without that.
        small: Bytes of what it saves that stay on the device.
        recomputes: Whether it makes the rest again, on the device.
    """
    operations = tuple(
        op if op.output_bytes < SMALLEST else replace(op, output_bytes=0) for op in unit.operations
    )
    return replace(
        unit,
        saved=unit.saved if recomputes else small,
        inside=min(unit.inside, small),
        kept=min(unit.kept, small),
        operations=operations,
    )


def by_storage(nest: Any) -> dict[int, Tensor]:
    """Return the tensors of a nest by the ids of their storages: one of each."""
    return {storage_id(tensor.untyped_storage()): tensor for tensor in tensors_of(nest)}


def as_leaf(feature: Tensor) -> Tensor:
    """Return a feature that a graph begins with."""
    return feature.detach().requires_grad_(feature.requires_grad)


def num_bytes(values: Iterable[Any]) -> int:
    """Return the bytes of all tensors among some values."""
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def float_bytes(values: Iterable[Any]) -> int:
    """Return the bytes of those tensors that are 32-bit floats."""
    return num_bytes(
        value for value in values if isinstance(value, Tensor) and value.dtype == torch.float32
    )


def gradient_bytes(backbone: UnrolledBackbone, unit: Unit) -> int:
    """Return the bytes of the gradients of a unit's parameters."""
    return trained_bytes(owned_parameters(backbone, unit.owns).values())


def trained_bytes(parameters: Iterable[nn.Parameter]) -> int:
    """Return the bytes of those parameters that train."""
    return num_bytes(parameter for parameter in parameters if parameter.requires_grad)
