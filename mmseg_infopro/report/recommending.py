"""Which way to train is recommended under a cap. Pure: the rule stands here and nowhere else.

1. Only ways whose step is within the cap, and that need no more than end-to-end training.
2. Of those with the network's exact gradients (end to end, with checkpointing, one module that
   recomputes) the cheapest in FLOPs.
3. The cheapest with local modules instead, if there is none of these, or if it is clearly cheaper:
   by more than :data:`CLEARLY` of the FLOPs of an end-to-end step.

Costs that differ by less than :data:`EQUAL` are the same: then fewer modules come first, since the
deeper the modules, the less greedy their training, and then the simpler way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

CLEARLY = 0.05
EQUAL = 0.005
"""Shares of the FLOPs of an end-to-end step."""


@dataclass(frozen=True)
class Candidate:
    """A way to train, as the rule sees it.

    Attributes:
        peak: Bytes that its step needs.
        flops: Of its step.
        num_modules: K; with one module the gradients are exact.
    """

    peak: int
    flops: int
    num_modules: int


def recommended(ways: Sequence[Candidate], end_to_end: Candidate, cap: int) -> int | None:
    """Return which of some ways is recommended under a cap; None if there is none.

    Args:
        ways: To choose from, the simpler ones first.
        end_to_end: What they are compared with.
        cap: Bytes.
    """
    fit = [i for i, way in enumerate(ways) if way.peak <= min(cap, end_to_end.peak)]
    exact = _cheapest(ways, [i for i in fit if ways[i].num_modules == 1], end_to_end)
    local = _cheapest(ways, [i for i in fit if ways[i].num_modules > 1], end_to_end)
    if exact is None or local is None:
        return local if exact is None else exact
    spared = ways[exact].flops - ways[local].flops
    return local if spared > CLEARLY * end_to_end.flops else exact


def _cheapest(
    ways: Sequence[Candidate], chosen: Sequence[int], end_to_end: Candidate
) -> int | None:
    if not chosen:
        return None
    limit = min(ways[i].flops for i in chosen) + EQUAL * end_to_end.flops
    equal = [i for i in chosen if ways[i].flops <= limit]
    return min(equal, key=lambda i: (ways[i].num_modules, i))
