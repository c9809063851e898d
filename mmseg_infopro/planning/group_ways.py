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
        backward: Peaks of its backward pass beyond what earlier groups hold, were the module to end
            with it: what the next one starts from is there.
        released: The same, where another group follows, which has let go of its input.
    """

    kept: Ints
    cost: Ints
    flops: Ints
    saved: tuple[str | tuple[int, ...], ...]
    backward: Ints
    released: Ints


@dataclass(frozen=True)
class Ways:
    """The ways to run the first units of a module, one per element.

    Attributes:
        held: Bytes held between the passes, with what they pass on; the module's input apart.
        cost: Of recomputing, in FLOPs.
        backward: Peak of the backward passes; but for the tail, less the gradients of all units.
        earlier: That of all groups but the last.
        released: That of all groups, were another one to follow.
        start: First unit of the last group.
        before: Element of the ways up to ``start``.
        option: Of the last group.
    """

    held: Ints
    cost: Ints
    backward: Ints
    earlier: Ints
    released: Ints
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

    def extend(self, options: GroupOptions, first: int, state: int, later: int) -> Ways:
        """Add a group to all ways, in all of its options.

        Args:
            options: Of the group.
            first: Its first unit.
            state: Bytes of what it passes on and did not start from.
            later: Bytes that are there in its backward pass from what runs after it.
        """
        num_ways, num_options = len(self.held), len(options.kept)
        before = self.held[:, None] + later
        return Ways(
            (self.held[:, None] + options.kept + state).ravel(),
            (self.cost[:, None] + options.cost).ravel(),
            np.maximum(self.released[:, None], before + options.backward).ravel(),
            self.released.repeat(num_options),
            np.maximum(self.released[:, None], before + options.released).ravel(),
            np.full(num_ways * num_options, first),
            np.arange(num_ways).repeat(num_options),
            np.broadcast_to(np.arange(num_options), (num_ways, num_options)).ravel(),
        )


def group_options(units: Sequence[UnitBytes]) -> GroupOptions:
    """Return the ways to run a group of units, cheapest FLOPs per byte given up first."""
    made, backward, cheap, released = _made_and_peaks(units)
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
    backwards, releases = np.full(len(saved), backward), np.full(len(saved), released)
    backwards[saved.index(tuple(sorted(number for number, _ in repeated)))] = cheap
    if len(units) == 1 and units[0].by_layers:
        again = units[0].by_layers_flops
        saved.append('layers')
        kept, flops = np.append(kept, 0), np.append(flops, again)
        cost = np.append(cost, again + PASSES * FLOPS_PER_BYTE * made)
        backwards = np.append(backwards, units[0].by_layers)
        output = units[0].backward - units[0].released
        releases = np.append(releases, units[0].by_layers - output)
    return GroupOptions(kept, cost, flops, tuple(saved), backwards, releases)


def _made_and_peaks(units: Sequence[UnitBytes]) -> tuple[int, int, int, int]:
    """Return what a group makes and keeps to itself, its ``backward`` and its ``released``.

    Between these is ``backward`` where the group keeps every operation's output.
    """
    last, released, inside = units[-1], 0, 0
    gradients = sum(unit.gradients for unit in units)
    for unit in units:
        earlier = released
        gradients -= unit.gradients  # those of later units are there
        before = inside + gradients
        released = max(released, before + unit.released)
        inside += unit.inside + unit.state_beyond(1)
    # In the backward pass of its last unit, its output may be there; by then others' are gone.
    backward = max(released, before + last.backward)
    cheap = max(earlier, before + last.cheap) if last.cheap else backward
    return inside - last.state_beyond(1), backward, cheap, released


def unbeaten(found: Sequence[Ways]) -> Ways:
    """Return the ways that no other one beats both in bytes and in cost, or in backward peaks."""
    columns = zip(*(vars(ways).values() for ways in found), strict=True)
    ways = Ways(*map(np.concatenate, columns))
    order = np.argsort(ways.held, kind='stable')
    chosen = [
        _thinned(_falls(values[order])) for values in (ways.cost, ways.backward, ways.released)
    ]
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
