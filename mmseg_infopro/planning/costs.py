"""The memory of a training step, taken apart: what is measured of a network, and planned with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..measure.work import Work
from ..recompute.groups import GROUP_SIZES
from ..recompute.operations import ComputeOperation, Saved

NO_WORK = Work()


@dataclass(frozen=True)
class HeadBytes:
    """What an auxiliary head adds to the memory of the module that it trains with.

    Attributes:
        peak: Of its forward and backward pass, beyond what was there before.
        saved: What it keeps for its backward pass.
        feature: What it reads, whose gradient waits for the backward pass of the unit that made it.
    """

    peak: int
    saved: int
    feature: int


@dataclass(frozen=True)
class UnitBytes:
    """What one unit adds to the memory of a training step.

    Which of a local module's bytes are there when; ``+`` they grow, ``=`` they stay, ``-`` they
    fall, ``^`` the peak of what comes and goes::

                          entry  forward    heads    backward   next module
        state             =====  =========  =======  =========               of the unit before
        saved                    +++++++++  =======  ---------               of each unit
        retained                 +++++++++  =======  =========  ===========  of each unit
        heads                               ^^^^^^^                          of the last unit
        auxiliary                           ^^^^^^^                          of one after the other
        head_parameters                     +++++++  =========  ===========  as their gradients
        backward                                     ^^^^^^^^^               of one unit at a time
        gradients                                    +++++++++  ===========  of each unit

    Where units recompute, ``kept`` and the inputs of groups wait for the backward pass in place of
    ``saved``, which is there for one group at a time.

    Attributes:
        name: Of the unit.
        saved: Activations that it keeps for its backward pass.
        state: What it passes on; a module keeps the state that it starts from.
        state_floats: What of it are 32-bit floats.
        carried: What of it was there one unit before, two units before, and so on, up to the last
            that is not zero: branches that the units between leave alone.
        context: What a module that begins behind it holds of a context: activations of the
            embeddings, and what they read of earlier modules.
        gradients: Of its parameters; they stay from its backward pass to the optimizer step.
        retained: What the tail reads of it: features, or what it makes them of.
        shared: What of that is part of ``state``.
        retained_floats: What of them are 32-bit floats.
        heads: Peak of the local heads, were the module to end here, beyond the saved activations.
        heads_saved: What they keep for their backward pass.
        auxiliary: The auxiliary heads that read this unit's feature and no other; they train with
            the module that the unit is in, after its local heads.
        backward: Peak of its own forward and backward pass, beyond what was there before.
        released: As ``backward``, where nobody holds what it passes on: a next group has had it.
        head_parameters: Of the local heads, and of the context of a module that begins behind it.
            Their gradients stay to the optimizer step, and they themselves, with what the optimizer
            keeps of them, are there all the time.
        frozen: It has nothing to train; a module of frozen units has no local heads.
        kept: What of ``saved`` stays until the backward pass where the rest is recomputed.
        ends_group: Whether a group of units that recompute together ends with it at the latest.
        inside: What of ``saved`` is neither what it starts from nor what it passes on.
        operations: Its compute operations, whose outputs are what can be kept.
        cheap: As ``backward``, where it recomputes and keeps every operation's output; 0 where that
            is not known.
        by_layers: As ``backward``, where the unit recomputes layer by layer; 0 where it cannot.
        by_layers_flops: That this repeats.
        parameters: Of its parameters, those that train and those that do not.
        forward_work: Of its forward pass.
        backward_work: Of its backward pass, with what it recomputes.
        heads_work: Of the local heads, were the module to end here, both passes.
        auxiliary_work: The same of the auxiliary heads that read this unit's feature and no other.
        reads_image: Whether the local heads do, were the module to end here.
    """

    name: str
    saved: int
    state: int = 0
    context: int = 0
    gradients: int = 0
    retained: int = 0
    shared: int = 0
    heads: int = 0
    heads_saved: int = 0
    auxiliary: tuple[HeadBytes, ...] = ()
    backward: int = 0
    released: int = 0
    head_parameters: int = 0
    frozen: bool = False
    kept: int = 0
    ends_group: bool = False
    inside: int = 0
    operations: tuple[ComputeOperation, ...] = ()
    cheap: int = 0
    by_layers: int = 0
    by_layers_flops: int = 0
    parameters: int = 0
    forward_work: Work = NO_WORK
    backward_work: Work = NO_WORK
    heads_work: Work = NO_WORK
    auxiliary_work: Work = NO_WORK
    reads_image: bool = False
    state_floats: int = 0
    carried: tuple[int, ...] = ()
    retained_floats: int = 0

    @property
    def passed_on(self) -> int:
        """Return what a module that begins behind it holds, beside all that is retained."""
        return self.state - self.shared + self.context

    def state_beyond(self, distance: int) -> int:
        """Return what of its state was not there some units before.

        Args:
            distance: How many; at 0 nothing is new.
        """
        if not distance:
            return 0
        return self.state - (self.carried[distance - 1] if distance <= len(self.carried) else 0)


@dataclass(frozen=True)
class StepBytes:
    """The memory of a training step, taken apart.

    Attributes:
        units: In the order of the forward pass.
        tail_heads: Peak of neck, decode head and the auxiliary heads that always train there.
        fixed: What is alive all the time: parameters, optimizer state, the batch.
        copies: How many times the bytes of a local head's parameters are alive all the time:
            once, and once more for each value that the optimizer keeps of them, less in 8 bits.
        group_size: Units that recompute together; 0 without recomputing.
        tail_gradients: Of the parameters of what ``tail_heads`` is the peak of.
        updates_per_module: Whether the gradients of a module are gone when the next one begins.
        tail_parameters: Of all that is no unit's.
        tail_work: Of what ``tail_heads`` is the peak of, both passes.
        tail_saved: What that keeps for its backward pass.
        image: Of the batch's images.
        labels: Of its label maps.
    """

    units: tuple[UnitBytes, ...]
    tail_heads: int = 0
    fixed: int = 0
    copies: float = 1.0
    group_size: int = 0
    tail_gradients: int = 0
    updates_per_module: bool = False
    tail_parameters: int = 0
    tail_work: Work = NO_WORK
    tail_saved: int = 0
    image: int = 0
    labels: int = 0

    def peak_of_heads(self, start: int, end: int, trains: bool) -> int:
        """Return the peak of all heads of the module ``units[start:end]``.

        Args:
            start: Its first unit.
            end: One past its last.
            trains: Whether anything of it does: else it has no local heads.
        """
        last, first = self.units[end - 1], (0, 0)
        if end == len(self.units):
            first = self.tail_heads, self.tail_saved
        elif trains:
            first = last.heads, last.heads_saved
        return joint_peak(*first, [h for unit in self.units[start:end] for h in unit.auxiliary])


def joint_peak(peak: int, saved: int, auxiliary: Sequence[HeadBytes]) -> int:
    """Return the peak of heads and of auxiliary ones, which run after them and go back before.

    Args:
        peak: Of the heads that run first.
        saved: What those keep for their backward pass.
        auxiliary: In the order that they run in.
    """
    waiting = sum(head.feature for head in auxiliary)
    joint = peak + waiting
    for head in auxiliary:
        waiting -= head.feature
        joint = max(joint, saved + head.peak + waiting)
        saved += head.saved
    return joint


def flops_of(step: StepBytes) -> int:
    """Return the FLOPs of the units' forward passes."""
    return sum(op.flops for unit in step.units for op in unit.operations)


def recomputing_as(step: StepBytes, saved: Saved) -> StepBytes:
    """Return the bytes of a step whose units all recompute by a word.

    Args:
        step: With the operations of every unit.
        saved: The word.
    """
    units = tuple(
        replace(
            unit,
            kept=sum(op.output_bytes for i, op in enumerate(unit.operations) if op.kept(i, saved)),
        )
        for unit in step.units
    )
    return replace(step, units=units, group_size=GROUP_SIZES[str(saved)])
