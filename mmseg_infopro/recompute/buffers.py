"""Buffers of norms, which a run of a function updates and a second one must not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..upstream import own_buffers

BATCH_NORM = nn.BatchNorm2d.forward
"""In training it only writes to its buffers, as that of synchronized ones, and needs no counter."""


@contextmanager
def unchanged_buffers(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Context in which layers update copies of their own buffers, which are then thrown away."""
    before = [(buffers, dict(buffers)) for buffers in map(own_buffers, modules)]
    spare: dict[Any, Tensor] = {}
    try:
        for module, (buffers, values) in zip(modules, before, strict=True):
            for name, value in values.items():
                if value is not None:
                    buffers[name] = _stand_in(module, name, value, spare)
        yield
    finally:
        for buffers, values in before:
            buffers.update(values)


def _stand_in(module: nn.Module, name: str, buffer: Tensor, spare: dict[Any, Tensor]) -> Any:
    """Return what may be updated in the place of a buffer; norms that only write to it share."""
    is_plain = type(module).forward is BATCH_NORM
    is_norm = is_plain or type(module) is nn.SyncBatchNorm
    if not is_norm or not module.training or module.momentum is None:
        return buffer.clone()
    if name == 'num_batches_tracked':
        return None if is_plain else buffer.clone()
    key = buffer.shape, buffer.dtype, buffer.device
    if key not in spare:
        spare[key] = buffer.clone()
    return spare[key]
