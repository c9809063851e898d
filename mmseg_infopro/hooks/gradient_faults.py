"""What can be wrong with what the first update did to a model's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

NUM_SHOWN = 3
"""How many parameters a message names."""


class Fault(Enum):
    """What can be wrong with a trainable parameter, and what to do about it."""

    SHARED = (
        'got gradient from more than one local module',
        'modules share no parameters, and no gradient may pass a border',
    )
    UNUSED = (
        'got no gradient',
        'freeze them, or, if the model is not meant to use them, list their names or patterns in '
        'custom_hooks=[dict(type="FirstStepCheckHook", allow_unused=[...])]',
    )
    NOT_OPTIMIZED = (
        'are not in the optimizer',
        'give them to it, or freeze them',
    )
    NON_FINITE = (
        'got gradient that is not finite',
        'look for broken images and labels, for losses without a valid pixel, and at the precision',
    )


@dataclass(frozen=True)
class FirstUpdate:
    """What the steps up to the first update did to one trainable parameter.

    Attributes:
        name: Its name in the model.
        owner: The local module that it belongs to; None without local modules.
        sources: The local modules whose backward passes gave it gradient; None among them stands
            for a backward pass of the whole model.
        finite: Whether its gradient is.
        optimized: Whether the optimizer holds it.
        expected: Whether the steps are to train it.
    """

    name: str
    owner: int | None = None
    sources: frozenset[int | None] = frozenset({None})
    finite: bool = True
    optimized: bool = True
    expected: bool = True


def find_faults(
    parameters: Sequence[FirstUpdate], allow_unused: Sequence[str] = ()
) -> dict[Fault, list[FirstUpdate]]:
    """Return what is wrong with which parameters.

    Args:
        parameters: All trainable ones.
        allow_unused: Names or patterns of those that need no gradient.
    """
    faulty = {
        Fault.SHARED: [p for p in parameters if len(p.sources) > 1],
        Fault.UNUSED: [
            p
            for p in parameters
            if p.expected and not p.sources and not matches(p.name, allow_unused)
        ],
        Fault.NOT_OPTIMIZED: [p for p in parameters if not p.optimized],
        Fault.NON_FINITE: [p for p in parameters if p.sources and not p.finite],
    }
    return {fault: found for fault, found in faulty.items() if found}


def describe_fault(fault: Fault, parameters: Sequence[FirstUpdate]) -> str:
    """Return one sentence that names the first few parameters and their local modules."""
    shown = [
        parameter.name + _modules(parameter, fault is Fault.SHARED)
        for parameter in parameters[:NUM_SHOWN]
    ]
    if len(parameters) > NUM_SHOWN:
        shown.append(f'and {len(parameters) - NUM_SHOWN} more')
    problem, remedy = fault.value
    return f'{len(parameters)} trainable parameter(s) {problem}: {", ".join(shown)}; {remedy}'


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name is, or fits, one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _modules(parameter: FirstUpdate, shared: bool) -> str:
    if shared:
        sources = sorted(source for source in parameter.sources if source is not None)
        return f' (local modules {" and ".join(map(str, sources))})'
    return '' if parameter.owner is None else f' (local module {parameter.owner})'
