"""The borders that a process of a pipeline holds, besides the one that it trains on."""

from __future__ import annotations

from dataclasses import dataclass

from mmengine.device import get_device

from ..local.settings import LocalSettings


@dataclass(frozen=True)
class Borders:
    """How many borders are alive, and in what they travel.

    Attributes:
        in_flight: ``local.in_flight``: a process keeps what it sent until the next one has it.
        staleness: ``local.staleness``: from 1 on a process keeps, besides the copy that it trains
            on, those that it may train on again. ``local.reuse`` makes these no fewer: where all
            that arrive are new, none is used up.
        narrow: Whether 32-bit floats travel, and wait, in 16 bits: ``local.border_dtype``.
        ahead: Without staleness, how many a process asks for before it needs them: 1 on CPUs,
            where nothing travels before it is asked for.
    """

    in_flight: int = 2
    staleness: int = 0
    narrow: bool = False
    ahead: int = 0

    @classmethod
    def of(cls, settings: LocalSettings) -> Borders:
        """Return those of a pipeline with some settings, on the kind of device at hand."""
        narrow, ahead = settings.border_dtype is not None, int(get_device() == 'cpu')
        return cls(settings.in_flight, settings.staleness, narrow, ahead)

    def alive(self, received: int, sent: int) -> int:
        """Return the bytes that are alive besides what a module trains on.

        Args:
            received: Of a border that the process gets, as it travels; 0 for the first process.
            sent: Of one that it passes on, as it travels; 0 for the last one.
        """
        kept = self.staleness + 1 if self.staleness else self.ahead
        return self.in_flight * sent + kept * received

    def travelling(self, num_bytes: int, floats: int) -> int:
        """Return the bytes of a border as it travels.

        Args:
            num_bytes: Where it is made.
            floats: What of these are 32-bit floats.
        """
        return num_bytes - floats // 2 if self.narrow else num_bytes
