"""Which consecutive units recompute their activations together, and what they keep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GROUP_SIZES = {'cheap': 4, 'units': 1}
"""Units in a group, for each way to recompute.

Between the passes a group holds its input and what is kept of its operations, and not what its
units pass to each other; in its backward pass it holds all that it saves without recomputing.
"""

WORDS = "'all', 'cheap', 'units', 'layers'"
"""What a group may save, beside listed operations."""


@dataclass(frozen=True)
class RecomputeGroup:
    """Consecutive units that recompute together.

    Attributes:
        end: Its last unit.
        saved: What it keeps for the backward pass: ``'all'`` activations, without recomputing;
            ``'cheap'``, the outputs of all compute operations; ``'units'``, of none; ``'layers'``,
            of none, and what is made again is made layer by layer; or of those
            with these numbers, in call order within the group, which have these names,
            ``''`` where a name is not known. A device may run other operations than the one that
            a plan was made for; its numbers would then stand for something else.
    """

    end: str
    saved: str | Mapping[int, str]

    def as_config(self) -> dict[str, Any]:
        """Return it as ``local.recompute`` lists it: ``saved=['0:convolution', '3:bmm']``."""
        if isinstance(self.saved, str):
            return dict(end=self.end, saved=self.saved)
        items = self.saved.items()
        return dict(end=self.end, saved=[f'{i}:{name}' if name else i for i, name in items])


Recompute = str | tuple[RecomputeGroup, ...]
"""``local.recompute``, read: a word, or the groups of all units in order."""


def read_groups(groups: Iterable[Any]) -> tuple[RecomputeGroup, ...]:
    """Read ``local.recompute`` where it is a list.

    Raises:
        TypeError: It is not one of dicts with the keys ``end`` and ``saved``.
    """
    read = []
    for group in groups:
        if not isinstance(group, Mapping) or set(group) != {'end', 'saved'}:
            raise TypeError(
                'local.recompute must be a word or a list of dict(end=UNIT, saved=OPERATIONS), '
                f'got {group!r} in it'
            )
        end, saved = group['end'], group['saved']
        if not isinstance(saved, str):
            saved = _read_operations(end, saved)
        elif saved not in ('all', 'cheap', 'units', 'layers'):
            raise TypeError(
                f"saved must be 'all', 'cheap', 'units', 'layers' or a list, got {saved!r}"
            )
        read.append(RecomputeGroup(end, saved))
    return tuple(read)


def _read_operations(end: str, saved: Any) -> dict[int, str]:
    read = [_read_operation(item) for item in saved] if isinstance(saved, Sequence) else [None]
    known = [operation for operation in read if operation is not None]
    if len(known) < len(read):
        raise TypeError(
            f"saved must be {WORDS} or a list of operations, as 3 or '3:bmm', "
            f'got {saved!r} for the group that ends at {end!r}'
        )
    return dict(known)


def _read_operation(item: Any) -> tuple[int, str] | None:
    """Return the number and the name of ``'3:bmm'``, or a number alone; None of anything else."""
    if type(item) is int and item >= 0:
        return item, ''
    match = re.fullmatch(r'(\d+):(\w+)', item) if isinstance(item, str) else None
    return None if match is None else (int(match[1]), match[2])


def read_recompute(recompute: Any) -> Recompute:
    """Read ``local.recompute`` or what else is written like it: a word, or listed groups."""
    return recompute if isinstance(recompute, str) else read_groups(recompute)


def check_groups(recompute: Recompute, names: Sequence[str]) -> None:
    """Check that listed groups end at units of the backbone, in order and up to the last one.

    Raises:
        ValueError: They do not.
    """
    if isinstance(recompute, str):
        return
    ends = [group.end for group in recompute]
    unknown = [end for end in ends if end not in names]
    if unknown:
        raise ValueError(
            f'local.recompute lists a group that ends at {unknown[0]!r}; units: {", ".join(names)}'
        )
    if ends != [name for name in names if name in ends] or ends[-1:] != [names[-1]]:
        raise ValueError(
            'local.recompute must list groups in the order of the units, each once, the last one '
            f'ending at {names[-1]!r}, got {ends}'
        )


def group_ends(ends_group: Sequence[bool], size: int) -> list[int]:
    """Return where groups of at most ``size`` units end, one past their last units.

    Args:
        ends_group: For each unit of a module, whether a feature is read off its state, which only
            what a group returns can be.
        size: Of a group.
    """
    ends, length = [], 0
    for position, ends_here in enumerate(ends_group, start=1):
        length += 1
        if ends_here or length == size or position == len(ends_group):
            ends.append(position)
            length = 0
    return ends


def module_groups(
    names: Sequence[str], ends_group: Sequence[bool], recompute: Recompute
) -> tuple[RecomputeGroup, ...]:
    """Return the groups of one module.

    Args:
        names: Of its units.
        ends_group: As for :func:`group_ends`.
        recompute: ``local.recompute``; ``'module'`` groups all up to where a feature is read off.

    Raises:
        ValueError: Groups are listed of which none ends where a unit emits a feature or the module
            ends, or that leave units out.
    """
    if isinstance(recompute, str):
        saved = {'none': 'all', 'module': 'units'}.get(recompute, recompute)
        size = len(names) if recompute == 'module' else GROUP_SIZES.get(recompute, 1)
        ends = group_ends(ends_group, size)
        return tuple(RecomputeGroup(names[end - 1], saved) for end in ends)
    groups = tuple(group for group in recompute if group.end in names)
    listed = {group.end for group in groups}
    must_end = [
        name for name, ends in zip(names, ends_group, strict=True) if ends or name == names[-1]
    ]
    missing = [name for name in must_end if name not in listed]
    if missing:
        raise ValueError(
            f'local.recompute must list a group that ends at {missing[0]!r}, where a module ends '
            f'or a feature is emitted; the groups around it end at {sorted(listed)}'
        )
    return groups
