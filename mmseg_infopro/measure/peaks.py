"""What one training step needs: its peak, and the bytes alive on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace

PROCESS = 'process'
"""Kinds of step that begin so are those of one process of a pipeline, with its number."""


@dataclass(frozen=True)
class PeakBytes:
    """The bytes alive at the moment of the step's peak, by what they hold."""

    total: int
    parameters: int
    gradients: int
    optimizer_state: int

    @property
    def activations(self) -> int:
        """Everything else: activations, temporaries, buffers and the batch itself."""
        return self.total - self.parameters - self.gradients - self.optimizer_state


@dataclass(frozen=True)
class DryStep:
    """What one steady-state training step needs.

    Attributes:
        peak: Its peak.
        timeline: Bytes alive after each operation of the step, in order.
        modules: Which local module ran then; None where the model has none.
        flops: Floating-point operations of forward and backward pass: those of matrix products,
            convolutions and attention, as torch's ``FlopCounterMode`` counts.
        kind: Of the step, where there are several.
        host_bytes: That are sent to the host, and fetched from there again.
    """

    peak: PeakBytes
    timeline: tuple[int, ...]
    modules: tuple[int | None, ...]
    flops: int = 0
    kind: str = ''
    host_bytes: int = 0

    @property
    def peaks_in_update(self) -> bool:
        """Return whether the peak is in the optimizer's step, after the last local module."""
        position = max(range(len(self.timeline)), key=self.timeline.__getitem__)
        ran = any(module is not None for module in self.modules[:position])
        return ran and self.modules[position] is None

    def with_more(self, num_bytes: int) -> DryStep:
        """Return the step with more activations, which are alive all the time."""
        peak = replace(self.peak, total=self.peak.total + num_bytes)
        timeline = tuple(alive + num_bytes for alive in self.timeline)
        return replace(self, peak=peak, timeline=timeline)

    def module_peaks(self) -> dict[int, int]:
        """Return the peak of each local module, in order."""
        peaks: dict[int, int] = {}
        for module, num_bytes in zip(self.modules, self.timeline, strict=True):
            if module is not None:
                peaks[module] = max(num_bytes, peaks.get(module, 0))
        return peaks
