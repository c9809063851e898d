"""The FLOPs of compute operations: convolutions, matrix products and attention."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from torch.utils.flop_counter import flop_registry

from ..upstream import (
    FLASH_ATTENTION,
    FLASH_ATTENTION_BACKWARD,
    FLASH_ATTENTION_ON_CPU,
    FLASH_BACKWARD_ON_CPU,
    TorchDispatchMode,
)

FLOP_FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    # Attention on a CPU, which torch's table leaves out.
    FLASH_ATTENTION_ON_CPU: flop_registry[FLASH_ATTENTION],
    FLASH_BACKWARD_ON_CPU: flop_registry[FLASH_ATTENTION_BACKWARD],
}


@cache
def is_compute(func: Any) -> bool:
    """Whether an operation is a convolution, a matrix product or an attention."""
    return func.overloadpacket in FLOP_FORMULAS


def count_flops(func: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return the FLOPs of a compute operation that was called with these arguments."""
    return FLOP_FORMULAS[func.overloadpacket](*args, **kwargs, out_val=result)


class FlopCounter(TorchDispatchMode):
    """Context that adds up the FLOPs of compute operations, in ``flops``."""

    flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Run the operation and count it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if is_compute(func):
            self.flops += count_flops(func, result, args, kwargs)
        return result
