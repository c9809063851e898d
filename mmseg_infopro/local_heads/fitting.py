"""How wide a local head may be, and at which stride: a share of the network's FLOPs says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .border import Border
from .narrow import working_stride

FINEST_STRIDE = 8
COARSER = (1, 2, 4)
WIDTHS = range(8, 129, 8)


class FittedHead(Protocol):
    """A head that says what it costs.

    Attributes:
        share: Of the backbone's FLOPs, unless another one is asked for. A task head and a
            reconstruction head have 1% at each border, so that those of K=4 have at most 3%.
        enough_channels: With fewer than this it rather works at a coarser stride: as many as there
            are classes, within these bounds.
    """

    share: float
    enough_channels: tuple[int, int]

    @staticmethod
    def weights(
        in_channels: int, channels: int, stride: float, num_classes: int, image_channels: int
    ) -> int:
        """Return the multiplications per pixel of its own."""


@dataclass(frozen=True)
class Fit:
    """What a head gets.

    Attributes:
        channels: Its width.
        stride: That it works at.
        share: Of the backbone's FLOPs, that it needs.
    """

    channels: int
    stride: float
    share: float

    @property
    def arguments(self) -> dict[str, Any]:
        """Return it as the head's constructor takes it."""
        return dict(channels=self.channels, min_stride=self.stride)


def is_fitted(head_class: Any) -> bool:
    """Whether a head's width follows from where it stands."""
    return hasattr(head_class, 'enough_channels')


def fit(head_class: FittedHead, border: Border, num_classes: int, share: float) -> Fit:
    """Return the width and the stride of a head at a border, which depend on nothing else.

    It works at stride 8, or on a coarser border at the border's, with the most channels that its
    share of the backbone's FLOPs pays for. Where these are too few, as on a network of few FLOPs,
    it works at up to four times that stride, where a channel costs up to 16 times less; where the
    share pays for nothing, with the fewest channels at the coarsest stride.

    Args:
        head_class: Of the head.
        border: Where it stands, with features of any number.
        num_classes: Of the labels.
        share: Of the FLOPs of the backbone's forward pass; a step of training is about three times
            both. The FLOPs are those per pixel of images of the backbone's ``example_size``,
            whatever the crop.
    """
    in_channels = sum(shape.channels for shape in border.shapes)
    image_channels = border.trace.states[''][1]
    lowest, highest = head_class.enough_channels
    enough = min(max(lowest, num_classes), highest)
    found: list[Fit] = []
    for factor in COARSER:
        stride = working_stride([s.stride for s in border.shapes], factor * FINEST_STRIDE)
        if found and stride == found[-1].stride:
            continue
        for channels in reversed(WIDTHS):
            weights = head_class.weights(in_channels, channels, stride, num_classes, image_channels)
            part = 2 * weights / stride**2 / border.flops_per_pixel
            if part <= share or channels == WIDTHS[0]:
                break
        found.append(Fit(channels, stride, part))
        if channels >= enough and part <= share:
            return found[-1]
    paid = [item for item in found if item.share <= share]
    return max(paid, key=lambda item: item.channels) if paid else found[-1]
