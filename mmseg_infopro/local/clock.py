"""When a step takes place: the Runner's iteration, and the one that a dry step pretends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmengine.logging import MessageHub

_PRETENDED: ContextVar[int | None] = ContextVar('pretended iteration', default=None)


def current_iteration() -> int:
    """Return the iteration that runs, from 0; 0 without a Runner."""
    pretended = _PRETENDED.get()
    if pretended is not None:
        return pretended
    return int(MessageHub.get_current_instance().get_info('iter', 0) or 0)


def is_pretended() -> bool:
    """Return whether the iteration is pretended: a dry step runs."""
    return _PRETENDED.get() is not None


@contextmanager
def at_iteration(iteration: int) -> Iterator[None]:
    """Context in which steps are those of an iteration, whatever a Runner says."""
    token = _PRETENDED.set(iteration)
    try:
        yield
    finally:
        _PRETENDED.reset(token)
