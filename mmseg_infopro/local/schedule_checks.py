"""Checks of what a schedule asks for against the model that it is to train."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from .schedule import AUXILIARY, Pass, Schedule, check_passes


def kind_of_step(passes: Sequence[Pass]) -> Any:
    """Return what steps have in common that reach the same parameters in the same passes."""
    return tuple(
        (run.first, run.last, run.trains, frozenset(key for key, w in run.weights.items() if w))
        for run in passes
    )


def check_phases(
    schedule: Schedule, frozen: Sequence[bool], heads: Sequence[Sequence[str]]
) -> set[Any]:
    """Check that each phase of a schedule trains something, and that each head counts in one.

    Args:
        schedule: Of the model.
        frozen: For each module, whether it has nothing to train.
        heads: For each module the names of its local heads; of the tail, its decode head's.

    Returns:
        The kinds of step that were checked, see :func:`kind_of_step`.

    Raises:
        ValueError: A phase trains nothing, a weight is of a head that does not exist, or a head
            has no weight in any phase.
    """
    name, kinds = type(schedule).__name__, set()
    silent = {(index, head) for index, own in enumerate(heads) for head in own}
    for phase, iteration in schedule.phases(len(frozen)).items():
        passes = schedule(iteration, len(frozen))
        kinds.add(kind_of_step(passes))
        check_weighed_heads(passes, heads)
        trained = [run for run in passes if run.trains]
        if all(frozen[index] for run in trained for index in run.modules):
            raise ValueError(
                f'local.schedule ({name}) has a phase, {phase!r}, of frozen modules only: give '
                'them no iterations'
            )
        silent -= {
            (index, head)
            for run in trained
            for index in run.modules
            for head in heads[index]
            if run.weight(index, head)
        }
    silent = {(index, head) for index, head in silent if index < len(frozen) - 1}
    if silent:
        index, head = min(silent)
        raise ValueError(
            f'local.schedule ({name}) gives the head {head} of module {index} no weight in any '
            'phase, so that it would never train: weigh it, or leave the head out'
        )
    return kinds


def check_weighed_heads(passes: Sequence[Pass], heads: Sequence[Sequence[str]]) -> None:
    """Check that the heads that passes weigh by name exist.

    Raises:
        ValueError: One does not.
    """
    for run in passes:
        for key in run.weights:
            if isinstance(key, int):
                continue
            index, head = key
            valid = [*heads[index], AUXILIARY]
            if head not in valid:
                near = get_close_matches(str(head), valid, 1)
                hint = f'; did you mean {near[0]}?' if near else ''
                raise ValueError(
                    f'local.schedule weighs {key}, but module {index} has {", ".join(valid)}{hint}'
                )


def check_new_kind(passes: Sequence[Pass], heads: Sequence[Sequence[str]]) -> str:
    """Check passes of a kind that the schedule's phases do not name; return the warning for it.

    Raises:
        ValueError: They cannot run.
    """
    check_passes(passes, len(heads))
    check_weighed_heads(passes, heads)
    spans = ', '.join(f'{run.first} to {run.last}' for run in passes)
    return (
        f"the schedule's phases() do not name the kind of step with passes over modules {spans}: "
        'no memory was planned for it'
    )
