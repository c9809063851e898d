"""Who reads the features of a fake copy of a model, and what they start from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from ..backbones import Emit, FeatureSize, State, numbered_emits, owned_parameters
from ..local.carried import Retained
from ..local.feature_flow import features_read
from ..upstream import tree_map_only
from .unit_bytes import as_leaf


class FeatureReads:
    """The features, as they are emitted, and which heads read them.

    Args:
        model: A fake copy.
        samples: Shapes ``(B, C, H, W)`` that the features may have.

    Attributes:
        movable: Auxiliary heads that read one feature, and which: they train in its module.
        fixed_aux: The others, which are taken for the tail's.
        emitting_units: The positions of the units that emitted the features.
    """

    def __init__(self, model: EncoderDecoder, samples: Sequence[FeatureSize]) -> None:
        self._backbone = model.backbone
        self.tail_reads, self._aux_reads = features_read(model, samples)
        # A feature that parameters of the tail make is read there.
        numbered = chain.from_iterable(numbered_emits(model.backbone.units()))
        shared = {index for index, emit in numbered if emit.owns} & self.tail_reads
        self.movable = {
            i: next(iter(reads))
            for i, reads in enumerate(self._aux_reads)
            if len(reads) == 1 and not reads & shared
        }
        self.fixed_aux = [i for i in range(len(self._aux_reads)) if i not in self.movable]
        self.features: dict[int, Retained] = {}
        self.emitting_units: dict[int, int] = {}

    def add(self, emits: Sequence[tuple[int, Emit]], state: State, position: int) -> list[State]:
        """Emit the features of a unit.

        Args:
            emits: With the indices of their features.
            state: That the unit left.
            position: Of the unit.

        Returns:
            What the tail retains of them.
        """
        own = {index: self._kept(emit, state) for index, emit in emits}
        self.features |= own
        self.emitting_units |= dict.fromkeys(own, position)
        return [feature.kept for index, feature in own.items() if index in self.tail_reads]

    def _kept(self, emit: Emit, state: State) -> Retained:
        """Return a feature as its readers get it in a step; they run an emit with parameters."""
        leaves = tree_map_only(Tensor, as_leaf, state)
        if emit.owns:
            return Retained(leaves, emit)
        return Retained(tree_map_only(Tensor, as_leaf, emit.apply(self._backbone, leaves)))

    def of_tail(self) -> list[Retained | None]:
        """Return what the tail reads, and None in place of other features."""
        fixed = (self._aux_reads[aux] for aux in self.fixed_aux)
        return self._of(self.tail_reads.union(*fixed))

    def of_auxiliary(self, aux: int) -> list[Retained | None]:
        """Return what an auxiliary head reads, and None in place of other features."""
        return self._of(self._aux_reads[aux])

    def _of(self, indices: Collection[int]) -> list[Retained | None]:
        return [self.features[i] if i in indices else None for i in sorted(self.features)]

    def emitting_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the tail makes features with."""
        emits = [self.features[index].emit for index in sorted(self.tail_reads)]
        owned = (owned_parameters(self._backbone, emit.owns) for emit in emits if emit)
        return [parameter for found in owned for parameter in found.values()]
