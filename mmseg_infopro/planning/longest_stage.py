"""The partition whose longest stage is shortest. Pure functions of what each stage takes."""

from __future__ import annotations

from collections.abc import Mapping

from .boundaries import TOLERANCE

Span = tuple[int, int]
"""The first unit of a stage, and one past its last."""
INFINITE = float('inf')


def shortest_longest(
    num_units: int, num_modules: int, *criteria: Mapping[Span, float]
) -> list[Span] | None:
    """Return the stages of which the longest one is shortest; None if no stages cover all units.

    Exact, by dynamic programming: what a stage takes does not depend on the other ones. Of
    partitions that are equally good by a criterion, up to :data:`TOLERANCE`, those are taken that
    are best by the next one, and in the end the one with the latest boundaries: the deeper the
    early modules, the less greedy their training.

    Args:
        num_units: All.
        num_modules: Stages.
        criteria: Of each stage that may be, what it takes; what is infinite may not be.
    """
    spans = set(criteria[0])
    for values in criteria:
        left = {span: values[span] for span in spans}
        best = _shortest(left, num_units, num_modules)[num_modules][0]
        if best == INFINITE:
            return None
        spans = {span for span in spans if values[span] <= best * (1 + TOLERANCE)}
    reaching = _shortest(dict.fromkeys(spans, 0.0), num_units, num_modules)
    start, found = 0, []
    for count in range(num_modules - 1, -1, -1):
        end = max(end for first, end in spans if first == start and not reaching[count][end])
        found.append((start, end))
        start = end
    return found


def _shortest(values: Mapping[Span, float], num_units: int, num_modules: int) -> list[list[float]]:
    """Return, by number of stages and first unit, the largest value of the best way to the end."""
    shortest = [[INFINITE] * (num_units + 1) for _ in range(num_modules + 1)]
    shortest[0][num_units] = 0.0
    for (start, end), value in sorted(values.items(), reverse=True):
        for count in range(1, num_modules + 1):
            way = max(value, shortest[count - 1][end])
            shortest[count][start] = min(shortest[count][start], way)
    return shortest
