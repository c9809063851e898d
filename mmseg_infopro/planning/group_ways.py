"""The ways to run groups of units: bytes kept between the passes, and the cost of recomputing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .costs import UnitBytes

FLOPS_PER_BYTE = 20
"""What it costs to make a byte of activations again, besides the FLOPs of compute operations: as
long as so many FLOPs, on current GPUs in single precision (an H100: 67e12/s over 3.4e12 B/s)."""
PASSES = 3
"""How often recomputing layer by layer makes a byte: it goes through what is before, each time."""
NUM_WAYS = 64
"""Ways to run the same first units that are followed."""

Ints = NDArray[np.int64]
MOST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class GroupOptions:
    """The ways to run one group, by falling bytes that it keeps and rising cost.

    Attributes:
        kept: Bytes.
        cost: Of recomputing, in FLOPs.
        flops: What of the cost compute operations are.
        saved: As in :class:`RecomputeGroup`, without the names of operations.
        backward: Peaks of its backward pass beyond what earlier groups hold.
    """

    kept: Ints
    cost: Ints
    flops: Ints
    saved: tuple[str | tuple[int, ...], ...]
    backward: Ints


@dataclass(frozen=True)
class Ways:
    """The ways to run the first units of a module, one per element.

    Attributes:
        held: Bytes held between the passes, the module's and the next group's inputs apart.
        cost: Of recomputing, in FLOPs.
        backward: Peak of the backward passes; but for the tail, less the gradients of all units.
        earlier: That of all groups but the last.
        start: First unit of the last group.
        before: Element of the ways up to ``start``.
        option: Of the last group.
    """

    held: Ints
    cost: Ints
    backward: Ints
    earlier: Ints
    start: Ints
    before: Ints
    option: Ints

    def take(self, chosen: Ints) -> Ways:
        """Return some of them."""
        return Ways(*(array[chosen] for array in vars(self).values()))

    @classmethod
    def empty(cls, count: int) -> Ways:
        """Return ``count`` ways to run nothing."""
        return cls(*(np.zeros(count, np.int64) for _ in fields(cls)))

    def extend(self, options: GroupOptions, first: int, entry: int, later: int) -> Ways:
        """Add a group to all ways, in all of its options.

        Args:
            options: Of the group.
            first: Its first unit.
            entry: Bytes of its input, which it holds.
            later: Bytes that are there in its backward pass from what runs after it.
        """
        num_ways, num_options = len(self.held), len(options.kept)
        held = self.held + entry
        own = held[:, None] + options.backward + later
        return Ways(
            (held[:, None] + options.kept).ravel(),
            (self.cost[:, None] + options.cost).ravel(),
            np.maximum(self.backward[:, None], own).ravel(),
            self.backward.repeat(num_options),
            np.full(num_ways * num_options, first),
            np.arange(num_ways).repeat(num_options),
            np.broadcast_to(np.arange(num_options), (num_ways, num_options)).ravel(),
        )


def group_options(units: Sequence[UnitBytes]) -> GroupOptions:
    """Return the ways to run a group of units, cheapest FLOPs per byte given up first."""
    backward = inside = 0
    gradients = sum(unit.gradients for unit in units)
    for unit in units:
        gradients -= unit.gradients  # those of later units are there
        backward = max(backward, inside + unit.backward + gradients)
        inside += unit.inside + unit.state
    made = inside - units[-1].state
    all_operations = [(op, unit is units[-1]) for unit in units for op in unit.operations]
    repeated = [
        (number, op)
        for number, (op, is_last) in enumerate(all_operations)
        # All that an inner unit computes, the next one asks for.
        if not is_last or (op.repeated and not op.returned)
    ]
    repeated.sort(key=lambda item: item[1].flops / max(1, item[1].output_bytes))
    sizes = [op.output_bytes for _, op in repeated]
    kept = sum(sizes) - np.cumsum([0, *sizes])
    flops = np.cumsum([0, *(op.flops for _, op in repeated)])
    saved: list[str | tuple[int, ...]] = [
        tuple(sorted(number for number, _ in repeated[dropped:]))
        for dropped in range(len(repeated) + 1)
    ]
    if len(units) == 1:
        kept, flops = np.append(made, kept), np.append(0, flops)
        saved.insert(0, 'all')
    cost = flops + FLOPS_PER_BYTE * (made - kept)
    peaks = np.full(len(saved), backward)
    if len(units) == 1 and units[0].by_layers:
        again = units[0].by_layers_flops
        saved.append('layers')
        kept, flops = np.append(kept, 0), np.append(flops, again)
        cost = np.append(cost, again + PASSES * FLOPS_PER_BYTE * made)
        peaks = np.append(peaks, units[0].by_layers)
    return GroupOptions(kept, cost, flops, tuple(saved), peaks)


def unbeaten(found: Sequence[Ways]) -> Ways:
    """Return the ways that no other one beats both in bytes and in cost, or in backward peaks."""
    columns = zip(*(vars(ways).values() for ways in found), strict=True)
    ways = Ways(*map(np.concatenate, columns))
    order = np.argsort(ways.held, kind='stable')
    chosen = [_thinned(_falls(ways.cost[order])), _thinned(_falls(ways.backward[order]))]
    return ways.take(order[np.unique(np.concatenate(chosen))])


def _falls(values: Ints) -> Ints:
    """Return where values are below all before."""
    least = np.minimum.accumulate(values)
    falls = np.empty(len(values), bool)
    falls[:1] = True
    np.less(least[1:], least[:-1], out=falls[1:])
    return np.flatnonzero(falls)


def _thinned(chosen: Ints) -> Ints:
    if len(chosen) <= NUM_WAYS:
        return chosen
    return chosen[np.linspace(0, len(chosen) - 1, NUM_WAYS).round().astype(int)]
