"""What stands in a dry step for optimizers whose compiled update no fake tensor can take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

SMALLEST = 4096
"""Parameters of fewer values keep averages of float numbers."""
NUM_VALUES = 256
"""What a code of 8 bits may stand for."""


class DryAdam8bit(Optimizer):
    """Keeps the bytes that torchao's ``Adam8bit`` and ``AdamW8bit`` keep; updates nothing.

    An average of a parameter is a byte for each value, a float32 scale for each block, and a map of
    what the codes stand for. Where the number of values is below :data:`SMALLEST` or no multiple of
    the block's it is a float for each value. The compiled update of one parameter after the other
    has each average once in float32, as torch 2.13 compiles it for a CPU.

    Args:
        params: As for any optimizer.
        lr: Learning rate.
        amsgrad: Whether there is a third average.
        block_size: Values with one scale.
        others: Of torchao's arguments, which change no bytes.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        amsgrad: bool = False,
        block_size: int = 256,
        **others: Any,
    ) -> None:
        super().__init__(params, dict(lr=lr, amsgrad=amsgrad))
        self.block_size = block_size

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Make what the parameters with a gradient keep, and the temporaries of their update."""
        for group in self.param_groups:
            num_averages = 3 if group['amsgrad'] else 2
            for parameter in group['params']:
                if parameter.grad is None:
                    continue
                if not self.state[parameter]:
                    parts = [
                        tensor for _ in range(num_averages) for tensor in self._average(parameter)
                    ]
                    self.state[parameter] = dict(enumerate([torch.zeros(()), *parts]))
                for _ in [torch.empty_like(parameter) for _ in range(num_averages)]:
                    pass  # all are alive at once, and gone

    def _average(self, parameter: Tensor) -> list[Tensor]:
        size = parameter.numel()
        if size < SMALLEST or size % self.block_size:
            return [torch.zeros_like(parameter)]
        codes = torch.zeros_like(parameter, dtype=torch.uint8)
        return [codes, torch.zeros(size // self.block_size), torch.zeros(NUM_VALUES)]


DRY_OPTIMIZERS = {'torchao_Adam8bit': DryAdam8bit, 'torchao_AdamW8bit': DryAdam8bit}
"""By the type that a config names."""


def with_dry_optimizer(optim_wrapper_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's ``optim_wrapper`` with an optimizer whose step fake tensors can take."""
    wrapper_cfg = dict(optim_wrapper_cfg)
    optimizer = wrapper_cfg.get('optimizer') or {}
    if optimizer.get('type') in DRY_OPTIMIZERS:
        wrapper_cfg['optimizer'] = changed = copy(optimizer)
        changed['type'] = DRY_OPTIMIZERS[optimizer['type']]
    return wrapper_cfg
