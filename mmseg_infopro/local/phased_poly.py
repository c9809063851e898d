"""A learning rate that starts anew with every phase of a schedule."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from mmengine.optim import PolyLR
from mmseg.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class PhasedPolyLR(PolyLR):
    """Polynomial decay over each phase: ``(lr - eta_min) * (1 - t / T)^power + eta_min``.

    A second ``PolyLR`` of mmengine goes on from what the first one left, its ``eta_min``; here
    every phase starts at the optimizer's own rate. ``t`` counts the iterations of a phase from 0 to
    ``T``, the last one.

    Args:
        optimizer: Or an optimizer wrapper.
        phases: The iterations at which phases begin, from 0, in order.
        length: Of all phases together, in iterations.
        eta_min: The rate at the end of a phase.
        power: Of the decay.
        by_epoch: Must be False.
        kwargs: As for every scheduler of mmengine.

    Raises:
        ValueError: ``phases`` are out of order, or steps are counted in epochs.
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        phases: Sequence[int],
        length: int,
        eta_min: float = 0.0,
        power: float = 1.0,
        by_epoch: bool = False,
        **kwargs: Any,
    ) -> None:
        if by_epoch:
            raise ValueError('PhasedPolyLR counts iterations: by_epoch must be False')
        if list(phases) != sorted({0, *phases}) or phases[-1] >= length:
            raise ValueError(
                f'phases must rise from 0 to below length={length}, each once, got {list(phases)}'
            )
        self.phases, self.stop = tuple(phases), length
        super().__init__(optimizer, by_epoch=False, eta_min=eta_min, power=power, **kwargs)

    def _get_value(self) -> list[float]:
        step = min(self.last_step, self.stop - 1)
        index = bisect_right(self.phases, step) - 1
        begin, end = self.phases[index], (*self.phases[1:], self.stop)[index]
        factor = (1 - (step - begin) / max(1, end - begin - 1)) ** self.power
        return [(base - self.eta_min) * factor + self.eta_min for base in self.base_values]
