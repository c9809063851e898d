"""Names: of a partition in a state dict, and of modules in a log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def boundary_key(boundary: str) -> str:
    """Return a boundary's key in ``local_heads``: names of modules cannot hold dots."""
    return boundary.replace('.', '-')


def trained_boundaries(names: Sequence[str], part: str = 'local_heads') -> list[str]:
    """Return the boundaries that a state dict's ``names`` were trained with.

    Args:
        names: In the state dict.
        part: What stands there: ``local_heads``, which tell the partition, or ``context``.
    """
    keys = [name.split('.')[1] for name in names if name.startswith(f'{part}.')]
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


def check_same_contexts(trained: Collection[str], own: Collection[str]) -> None:
    """Check that a checkpoint has contexts where a model has them.

    Args:
        trained: Names in the checkpoint of all that contexts hold.
        own: Those of the model.

    Raises:
        ValueError: Only one of both has contexts, or they stand elsewhere, or are others.
    """
    if set(trained) == set(own):
        return
    places = [trained_boundaries(sorted(names), 'context') for names in (trained, own)]
    if places[0] == places[1]:
        names = sorted(set(trained) ^ set(own))
        what = f'with another local.context than the model has: only one of both has {names[0]}'
    elif all(places):
        what = f'with local.context behind {places[0]}, and the model has it behind {places[1]}'
    else:
        states = ('with', 'without') if trained else ('without', 'with')
        what = f'{states[0]} local.context, and the model is {states[1]}'
    raise ValueError(
        f'the checkpoint was trained {what}; set model.local.warm_start=True to start from it '
        'with fresh contexts or none'
    )


def drop_other_heads(
    state_dict: dict[str, Any],
    prefix: str,
    boundaries: Collection[str],
    own: Sequence[str],
    contexts: Collection[str],
    warm_start: bool,
) -> None:
    """Remove from ``state_dict`` the local heads and contexts that a model does not have.

    Contexts stay only if all are the model's: what one reads depends on the others.

    Args:
        state_dict: To load; changed in place.
        prefix: Of the model's names in it.
        boundaries: Of the model.
        own: Those that have local heads.
        contexts: Names of all that the model's contexts hold.
        warm_start: Whether the checkpoint may be of another partition.

    Raises:
        ValueError: It is of another partition or has other contexts, and no warm start was asked
            for.
    """
    names = [name.removeprefix(prefix) for name in state_dict]
    trained_contexts = [name for name in names if name.startswith('context.')]
    if not warm_start:
        remedy = 'set model.local.warm_start=True to start from it with fresh local heads'
        check_same_partition(trained_boundaries(names), own, 'the checkpoint', remedy)
        check_same_contexts(trained_contexts, contexts)
    keeps_contexts = set(trained_contexts) == set(contexts)
    for name in list(state_dict):
        own_name = name.removeprefix(prefix)
        boundary = trained_boundaries([own_name])
        is_other = bool(boundary) and boundary[0] not in boundaries
        if is_other or (own_name.startswith('context.') and not keeps_contexts):
            del state_dict[name]


def losses_by_module(values: Mapping[str, float]) -> dict[str, float]:
    """Return the sums of a log's losses by local module; the decode heads' are the tail's.

    Args:
        values: By the names of the log, as ``local_0.loss_ce`` or ``decode.loss_ce``; those of a
            single part are the total and no losses of modules.
    """
    sums: dict[str, float] = {}
    for name, value in values.items():
        if '.' in name and 'loss' in name:
            module = name.partition('.')[0] if name.startswith('local_') else 'tail'
            sums[module] = sums.get(module, 0.0) + value
    return sums
