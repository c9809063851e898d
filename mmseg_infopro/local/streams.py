"""Random numbers of a local module: the same wherever and whenever it runs."""

from __future__ import annotations

from hashlib import blake2b

import torch
from mmengine.logging import MessageHub

from .clock import current_iteration, is_pretended

SEED = 'stream_seed'
"""Under which :class:`RNGStateHook` tells the message hub the run's seed."""


def start_stream(module: int) -> None:
    """Set torch's generators to what a module draws from in the iteration that runs.

    It depends on the run's seed, the iteration and the module only, so that neither the modules
    that ran before nor the process matter, and a resume needs no state. Without a Runner whose
    hook has told the seed, and in dry steps, nothing is changed.

    Args:
        module: Its number.
    """
    hub = MessageHub.get_current_instance()
    seed = hub.get_info(SEED, None)
    if seed is None or is_pretended():
        return
    place = f'{seed} {current_iteration()} {module}'
    digest = blake2b(place.encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, 'little') >> 1)
