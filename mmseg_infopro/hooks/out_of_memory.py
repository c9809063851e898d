"""What to say when a GPU's memory does not suffice: where, by how much, and what to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.runner import Runner

from infopro.naming import call_of

from ..config.read import config_name
from ..measure.sizes import format_bytes
from .memory_hook import MemoryHook
from .unwrapped import unwrapped


@contextmanager
def explained_out_of_memory(runner: Runner) -> Iterator[None]:
    """Say where in a run the GPU's memory did not suffice, and what to do about it.

    To be put around ``runner.train()``: mmengine's hooks see no exceptions.

    Raises:
        MemoryError: In place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(describe_out_of_memory(runner, str(error))) from error


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error is that of a full GPU: of torch's allocator, or of a library beside it."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or 'STATUS_ALLOC_FAILED' in str(error)


def describe_out_of_memory(runner: Runner, error: str) -> str:
    """Return a sentence on what torch's ``error`` means for a run."""
    asked = re.search(r'Tried to allocate ([\d.]+ \w+)', error)
    caps = [hook.memory_cap for hook in runner.hooks if isinstance(hook, MemoryHook)]
    cap = next((cap for cap in caps if cap is not None), None)
    limit = 'the card has' if cap is None else 'memory_cap is'
    if cap is None:
        cap = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    size = format_bytes(cap)
    model = unwrapped(runner.model)
    return (
        f'out of GPU memory {_place(model)}, asking for {asked[1] if asked else "more"}; {limit} '
        f'{size}. {_advice(model, runner.cfg.filename, size.replace(" ", ""))}'
    )


def _place(model: Any) -> str:
    if not model.training:
        return 'in prediction'
    index = getattr(model, 'running_module', None)
    if index is None:
        return 'in a training step'
    return f'in local module {index} of 0 ... {len(model.boundaries)}'


def _advice(model: Any, config: str | None, cap: str) -> str:
    if not model.training:
        return (
            'Less is needed with model.test_cfg.chunked_argmax=True, or with windows '
            "(model.test_cfg.mode='slide')"
        )
    name = config_name(config) if config else 'CONFIG'
    return f'For what fits, run: {shlex.join([*call_of("fit"), name])} --cap {cap}'
