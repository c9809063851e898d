"""Building what is only measured: no weights are drawn, and the random generators stay as they are.

Drawing the weights of a large network takes longer than measuring it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..upstream import TorchDispatchMode, schema_arguments


@contextmanager
def kept_generators() -> Iterator[None]:
    """Context that leaves the generators of Python, numpy and torch on the CPU as it found them."""
    python, arrays, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)


@contextmanager
def undrawn_weights() -> Iterator[None]:
    """Context in which modules are built with whatever values their memory holds.

    Tensors are real ones, since constructors read values: a data preprocessor's mean, the rates of
    stochastic depth. Memory that nothing is written to takes no room.
    """
    with kept_generators(), _Undrawn():
        yield


class _Undrawn(TorchDispatchMode):
    """Skips the operations that fill a tensor with random numbers."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        """Return the tensor that would be filled; pass every other operation on."""
        if torch.Tag.nondeterministic_seeded in func.tags and _fills(func):
            return args[0]
        return func(*args, **(kwargs or {}))


def _fills(func: Any) -> bool:
    """Whether an operation writes to its first argument, and returns it."""
    alias = schema_arguments(func)[0].alias_info
    return alias is not None and alias.is_write
