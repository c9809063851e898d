"""What a stage of a pipeline costs, and what a simulation says of all of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from .events import Span


@dataclass(frozen=True)
class Stage:
    """What one device does with one batch.

    Attributes:
        forward: Seconds of the forward pass.
        backward: Seconds of the losses and the backward pass.
        update: Seconds of the optimizer's step.
        border_bytes: That it passes on to the next stage.
        gradient_bytes: Of its parameters.
        fixed_bytes: Alive all the time: parameters, what the optimizer keeps of them, images.
        saved_bytes: Kept from the forward to the backward pass, with what it starts from.
        peak_bytes: The most that is alive during both, gradients included, beyond the fixed ones.
    """

    forward: float
    backward: float
    update: float = 0.0
    border_bytes: int = 0
    gradient_bytes: int = 0
    fixed_bytes: int = 0
    saved_bytes: int = 0
    peak_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Return the seconds of a whole step."""
        return self.forward + self.backward + self.update


@dataclass(frozen=True)
class Outcome:
    """What a simulation predicts.

    Attributes:
        scheme: Its name.
        images_per_second: Of all devices together, once the pipeline is full.
        utilisation: Share of that time in which each device computes.
        peak_bytes: Of each device.
        spans: When what ran, by name, for a picture.
    """

    scheme: str
    images_per_second: float
    utilisation: tuple[float, ...]
    peak_bytes: tuple[int, ...]
    spans: Mapping[Hashable, Span]

    @property
    def largest_peak(self) -> int:
        """Return the bytes that every device must have."""
        return max(self.peak_bytes)


def busy_share(
    spans: Mapping[Hashable, Span], resources: Sequence[Hashable], start: float, end: float
) -> tuple[float, ...]:
    """Return the share of the time between two moments in which resources are occupied."""
    busy = dict.fromkeys(resources, 0.0)
    for span in spans.values():
        if span.task.resource in busy:
            inside = min(span.end, end) - max(span.start, start)
            busy[span.task.resource] += max(0.0, inside)
    return tuple(busy[resource] / (end - start) for resource in resources)
