"""Which consecutive units recompute their activations together."""

from __future__ import annotations

from collections.abc import Sequence

GROUP_SIZES = {'none': 1, 'cheap': 4, 'units': 1}
"""Units in a group, for each way to recompute.

Between the passes a group holds its input and what is kept of its operations, and not what its
units pass to each other; in its backward pass it holds all that it saves without recomputing.
"""


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
