"""Before training: work that one process does for all, and errors that all processes raise.

A process that stops alone leaves the others waiting for it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch.distributed as dist
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, is_main_process

from ..upstream import as_world

T = TypeVar('T')
Failure = tuple[type[Exception], str]

USER_ERRORS = (ValueError, TypeError, OSError, MemoryError)
"""What a command prints as a sentence; other processes raise these, never a subclass of them, whose
constructor may ask for more than a text."""


def on_main_process(work: Callable[[], T]) -> T:
    """Run ``work`` on the main process only; return there and everywhere else what it returned.

    What exchanges figures with all processes, as heads that measure images do, is alone in it.

    Raises:
        Exception: What ``work`` raised, with the same sentence on all processes.
    """
    outcome: list[Any] = [None]
    error: Exception | None = None
    is_job = dist.is_available() and dist.is_initialized()
    alone = dist.new_group([0], backend='gloo') if is_job else None
    if is_main_process():
        try:
            with nullcontext() if alone is None else as_world(alone):
                # Pickled here: an error of that must reach the others as well.
                outcome[0] = pickle.dumps(work())
        except Exception as raised:
            error, outcome[0] = raised, _failure(raised)
    broadcast_object_list(outcome)
    if error is not None:
        raise error
    if isinstance(outcome[0], bytes):
        return pickle.loads(outcome[0])
    raise _said_elsewhere(outcome[0])


def on_all_processes(work: Callable[[], T]) -> T:
    """Run ``work`` on every process and return what it returned there.

    Raises:
        Exception: What ``work`` raised; where it raised nothing, what another process got.
    """
    result: Any = None
    error: Exception | None = None
    try:
        result = work()
    except Exception as raised:
        error = raised
    failures: list[Failure | None] = all_gather_object(error and _failure(error))
    first = next((failure for failure in failures if failure is not None), None)
    if error is not None and failures.index(_failure(error)) == get_rank():
        raise error
    if error is not None or first is not None:
        raise _said_elsewhere(_failure(error) if error else first) from error
    return result


def _said_elsewhere(failure: Failure | None) -> Exception:
    """Return another process's error, which :func:`~.commands.command` says only once."""
    kind, text = failure or (RuntimeError, '')
    error = kind(text)
    vars(error)['said_elsewhere'] = True
    return error


def _failure(error: Exception) -> Failure:
    kind = next((kind for kind in USER_ERRORS if isinstance(error, kind)), None)
    return (kind, str(error)) if kind else (RuntimeError, f'{type(error).__name__}: {error}')
