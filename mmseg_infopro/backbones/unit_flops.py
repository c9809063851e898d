"""What each unit of a backbone costs, counted on fake tensors."""

from __future__ import annotations

from functools import cached_property

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..measure.fake import UpperBounds, as_fake
from .trace import BATCH_SIZE
from .unrolled import UnrolledBackbone, owned_parameters


class UnitFlops:
    """The FLOPs of units, counted when they are first asked for.

    Args:
        backbone: Is not touched.
        in_channels: Of an image.
    """

    def __init__(self, backbone: UnrolledBackbone, in_channels: int) -> None:
        self._backbone = backbone
        self.in_channels = in_channels

    @cached_property
    def by_name(self) -> dict[str, int]:
        """FLOPs of the forward pass of each unit, on images of ``example_size``."""
        backbone, mode = as_fake(self._backbone)
        backbone.train()
        flops = {}
        with mode, torch.no_grad(), UpperBounds():
            state = torch.empty(BATCH_SIZE, self.in_channels, *backbone.example_size())
            for unit in backbone.units():
                with FlopCounterMode(display=False) as counter:
                    state = unit.apply(backbone, state)
                flops[unit.name] = counter.get_total_flops()
        return flops

    @cached_property
    def per_pixel(self) -> float:
        """FLOPs per image pixel of a training step, in forward passes: what is frozen has no other.

        A backward pass costs twice a forward pass, so that a frozen unit counts a third.
        """
        total = 0.0
        for unit in self._backbone.units():
            parameters = owned_parameters(self._backbone, unit.owns).values()
            trains = any(parameter.requires_grad for parameter in parameters)
            total += self.by_name[unit.name] * (1 if trains else 1 / 3)
        height, width = self._backbone.example_size()
        return total / (BATCH_SIZE * height * width)
