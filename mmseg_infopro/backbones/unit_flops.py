"""What each unit of a backbone costs, counted on fake tensors."""

from __future__ import annotations

from functools import cached_property

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..measure.fake import UpperBounds, as_fake
from .trace import BATCH_SIZE
from .unrolled import UnrolledBackbone


class UnitFlops:
    """The FLOPs of units, counted when they are first asked for.

    Args:
        backbone: Is not touched.
        in_channels: Of an image.
    """

    def __init__(self, backbone: UnrolledBackbone, in_channels: int) -> None:
        self._backbone = backbone
        self._in_channels = in_channels

    @cached_property
    def by_name(self) -> dict[str, int]:
        """FLOPs of the forward pass of each unit, on images of ``example_size``."""
        backbone, mode = as_fake(self._backbone)
        backbone.train()
        flops = {}
        with mode, torch.no_grad(), UpperBounds():
            state = torch.empty(BATCH_SIZE, self._in_channels, *backbone.example_size())
            for unit in backbone.units():
                with FlopCounterMode(display=False) as counter:
                    state = unit.apply(backbone, state)
                flops[unit.name] = counter.get_total_flops()
        return flops
