"""The partition in a state dict: its local heads are named after their boundaries."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def boundary_key(boundary: str) -> str:
    """Return a boundary's key in ``local_heads``: names of modules cannot hold dots."""
    return boundary.replace('.', '-')


def trained_boundaries(names: Sequence[str]) -> list[str]:
    """Return the boundaries of the partition that a state dict's ``names`` were trained with."""
    keys = [name.split('.')[1] for name in names if name.startswith('local_heads.')]
    return [key.replace('-', '.') for key in dict.fromkeys(keys)]


def describe_partition(boundaries: Sequence[str]) -> str:
    """Return a partition as a person would say it."""
    if not boundaries:
        return 'no boundaries (K=1, end-to-end)'
    return f'boundaries={list(boundaries)} (K={len(boundaries) + 1})'


def drop_other_heads(
    state_dict: dict[str, Any],
    prefix: str,
    boundaries: Collection[str],
    own: Sequence[str],
    warm_start: bool,
) -> None:
    """Remove from ``state_dict`` the local heads that a model does not have.

    Args:
        state_dict: To load; changed in place.
        prefix: Of the model's names in it.
        boundaries: Of the model.
        own: Those that have local heads.
        warm_start: Whether the checkpoint may be of another partition.

    Raises:
        ValueError: It is of another partition, and no warm start was asked for.
    """
    trained = trained_boundaries([name.removeprefix(prefix) for name in state_dict])
    if set(trained) != set(own) and not warm_start:
        raise ValueError(
            f'the checkpoint is of the partition {describe_partition(trained)}, the model of '
            f'{describe_partition(own)}; set model.local.warm_start=True to start '
            'from it with fresh local heads'
        )
    for name in list(state_dict):
        boundary = trained_boundaries([name.removeprefix(prefix)])
        if boundary and boundary[0] not in boundaries:
            del state_dict[name]
