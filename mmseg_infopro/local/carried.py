"""What passes a border: all that a local module needs of the ones before it, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mmseg.utils import SampleList
from torch import Tensor

from ..backbones import Emit, Feature, State, UnrolledBackbone
from ..upstream import tree_map_only


def detached(state: State) -> State:
    """Cut every tensor of a state off its graph."""
    return tree_map_only(Tensor, Tensor.detach, state)


@dataclass(frozen=True)
class Retained:
    """A feature that waits for the tail; one whose emit trains there, as the emit's state.

    Attributes:
        kept: The feature, or the state.
        emit: What makes the feature of the state, if that is left to the tail.
    """

    kept: State
    emit: Emit | None = None

    def feature(self, backbone: UnrolledBackbone) -> Feature:
        """Return the feature; its emit, if it waits for that, becomes part of the graph."""
        return self.kept if self.emit is None else self.emit.apply(backbone, self.kept)


@dataclass(frozen=True)
class Carried:
    """What a module starts from.

    Inside a pass of several modules it belongs to the graph; between two passes it is detached.

    Attributes:
        state: What the module before left; the image for the first one.
        image: The normalized image, ``(B, C, H, W)``.
        samples: With the label maps.
        retained: Features of earlier modules that the tail reads, by index.
        history: What the earlier modules started from, the oldest first, always detached; only as
            much of it as a context reads.
    """

    state: State
    image: Tensor
    samples: SampleList
    retained: Mapping[int, Retained] = field(default_factory=dict)
    history: tuple[State, ...] = ()

    def detached(self) -> Carried:
        """Cut all that passes the border off its graph."""
        retained = {
            index: Retained(detached(left.kept), left.emit) for index, left in self.retained.items()
        }
        return replace(self, state=detached(self.state), retained=retained)

    def without_image(self) -> Carried:
        """Keep the image's size, which tells batches apart, and one number of it."""
        return replace(self, image=self.image.new_zeros(()).expand(self.image.shape))
