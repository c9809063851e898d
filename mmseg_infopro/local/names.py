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


def describe_partition(boundaries: Collection[str]) -> str:
    """Return a partition as a person would say it."""
    if not boundaries:
        return 'no boundaries (K=1, end-to-end)'
    return f'boundaries={list(boundaries)} (K={len(boundaries) + 1})'


def own_boundaries(model: Any) -> list[str]:
    """Return the boundaries of a model that have local heads: a frozen module has none."""
    return [name for name in model.boundaries if boundary_key(name) in model.local_heads]


def check_same_partition(
    trained: Collection[str], own: Collection[str], checkpoint: str, remedy: str
) -> None:
    """Check that a checkpoint is of a model's partition.

    Args:
        trained: See :func:`trained_boundaries`.
        own: See :func:`own_boundaries`.
        checkpoint: What it is called in the error.
        remedy: What to do if it may be of another one.

    Raises:
        ValueError: It is of another partition.
    """
    if set(trained) != set(own):
        raise ValueError(
            f'{checkpoint} is of the partition {describe_partition(trained)}, '
            f'the model of {describe_partition(own)}; {remedy}'
        )


def drop_other_heads(
    state_dict: dict[str, Any],
    prefix: str,
    boundaries: Collection[str],
    own: Sequence[str],
    has_context: bool,
    warm_start: bool,
) -> None:
    """Remove from ``state_dict`` the local heads and contexts that a model does not have.

    Args:
        state_dict: To load; changed in place.
        prefix: Of the model's names in it.
        boundaries: Of the model.
        own: Those that have local heads.
        has_context: Whether the model has contexts.
        warm_start: Whether the checkpoint may be of another partition.

    Raises:
        ValueError: It is of another partition, or only one of both has contexts, and no warm
            start was asked for.
    """
    trained = trained_boundaries([name.removeprefix(prefix) for name in state_dict])
    contexts = [name for name in state_dict if name.startswith(f'{prefix}context.')]
    if not warm_start and bool(contexts) != has_context:
        states = ('with', 'without') if contexts else ('without', 'with')
        raise ValueError(
            f'the checkpoint was trained {states[0]} local.context, and the model is {states[1]}; '
            'set model.local.warm_start=True to start from it with fresh contexts or none'
        )
    if not warm_start:
        remedy = 'set model.local.warm_start=True to start from it with fresh local heads'
        check_same_partition(trained, own, 'the checkpoint', remedy)
    for name in list(state_dict):
        boundary = trained_boundaries([name.removeprefix(prefix)])
        if boundary and boundary[0] not in boundaries:
            del state_dict[name]
    for name in contexts if warm_start and not has_context else ():
        del state_dict[name]
