"""Attempts of a job that torchrun restarts after a process was lost (``--max-restarts``)."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store

from ..upstream import launcher_holds_store

STORE_TIMEOUT = timedelta(minutes=30)
"""Torch's own for stores that it opens itself."""
BEGUN = 'mmseg_infopro training has begun'


def restarts() -> int:
    """Return how often the launcher has started this job anew."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT') or 0)


def rendezvous_of_attempt() -> dict[str, Any]:
    """Return arguments of ``init_process_group`` by which a restarted attempt finds itself only.

    All attempts share the launcher's store, and torch gives them the same keys: processes would
    read the addresses of ended ones. A first attempt, or one whose store is new, needs none.
    """
    store = _launcher_store() if restarts() else None
    if store is None:
        return {}
    return dict(
        store=PrefixStore(f'attempt {restarts()}', store),
        rank=int(os.environ['RANK']),
        world_size=int(os.environ['WORLD_SIZE']),
    )


def note_training() -> None:
    """Note for later attempts that training begins: what they find in the work dir is of the job.

    A start that is refused, as the work dir holds another run, is restarted too, to no avail.
    """
    store = _launcher_store()
    if store is not None:
        store.set(BEGUN, '')


def continues_training() -> bool:
    """Whether this is a restarted attempt of a job whose training had begun."""
    store = _launcher_store() if restarts() else None
    return store is not None and store.check([BEGUN])


def _launcher_store() -> Store | None:
    if not launcher_holds_store():
        return None
    place = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
    return TCPStore(*place, is_master=False, timeout=STORE_TIMEOUT)
