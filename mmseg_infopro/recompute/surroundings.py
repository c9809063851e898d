"""What a function depends on beside its arguments, to run it a second time in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import get_device_states, set_device_states

DEVICES = ('cpu', 'cuda', 'meta')
"""On which random numbers can be drawn a second time, or are none."""


class Surroundings:
    """The random numbers to come, mixed precision and the default device, as they are now.

    Args:
        tensors: On whose devices random numbers may be drawn.

    Raises:
        ValueError: That is a device whose generator is not known here.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.random, self.device = torch.get_rng_state(), torch.get_default_device()
        # Before CUDA is initialized there are fake tensors at most.
        on_device = torch.cuda.is_initialized()
        self.devices, self.states = get_device_states(*tensors) if on_device else ([], [])
        types = sorted({'cpu', *(tensor.device.type for tensor in tensors)})
        unknown = set(types) - set(DEVICES)
        if unknown:
            raise ValueError(
                f'recomputing needs tensors on one of {", ".join(DEVICES)}, got '
                f"{', '.join(sorted(unknown))}: set local.recompute='none'"
            )
        self.autocast: list[dict[str, Any]] = [
            dict(
                device_type=name,
                enabled=torch.is_autocast_enabled(name),
                dtype=torch.get_autocast_dtype(name),
                cache_enabled=torch.is_autocast_cache_enabled(),
            )
            for name in types
            if torch.amp.is_autocast_available(name)
        ]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Context in which they are as they were; afterwards, random numbers as before."""
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(self.devices))
            torch.set_rng_state(self.random)
            set_device_states(self.devices, self.states)
            if self.device.type != 'cpu':  # a context slows every call down
                stack.enter_context(self.device)
            for settings in self.autocast:
                stack.enter_context(torch.autocast(**settings))
            yield
