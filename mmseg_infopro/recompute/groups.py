"""Which consecutive units recompute their activations together, and what they keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GROUP_SIZES = {'cheap': 4, 'units': 1}
"""Units in a group, for each way to recompute.

Between the passes a group holds its input and what is kept of its operations, and not what its
units pass to each other; in its backward pass it holds all that it saves without recomputing.
"""


@dataclass(frozen=True)
class RecomputeGroup:
    """Consecutive units that recompute together.

    Attributes:
        end: Its last unit.
        saved: What it keeps for the backward pass: ``'all'`` activations, without recomputing;
            ``'cheap'``, the outputs of all compute operations; ``'units'``, of none; or of those
            with these numbers, in call order within the group.
    """

    end: str
    saved: str | tuple[int, ...]

    def as_config(self) -> dict[str, Any]:
        """Return it as ``local.recompute`` lists it."""
        saved = self.saved if isinstance(self.saved, str) else list(self.saved)
        return dict(end=self.end, saved=saved)


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
                'local.recompute must be a word or a list of dict(end=UNIT, saved=NUMBERS), '
                f'got {group!r} in it'
            )
        end, saved = group['end'], group['saved']
        if not isinstance(saved, str):
            is_list = isinstance(saved, Sequence)
            if not is_list or not all(type(i) is int and i >= 0 for i in saved):
                raise TypeError(
                    f"saved must be 'all', 'cheap', 'units' or a list of numbers of operations, "
                    f'got {saved!r} for the group that ends at {end!r}'
                )
            saved = tuple(saved)
        elif saved not in ('all', 'cheap', 'units'):
            raise TypeError(f"saved must be 'all', 'cheap', 'units' or a list, got {saved!r}")
        read.append(RecomputeGroup(end, saved))
    return tuple(read)


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
        recompute: ``local.recompute``.

    Raises:
        ValueError: Groups are listed of which none ends where a unit emits a feature or the module
            ends, or that leave units out.
    """
    if isinstance(recompute, str):
        saved = 'all' if recompute == 'none' else recompute
        ends = group_ends(ends_group, GROUP_SIZES.get(recompute, 1))
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
