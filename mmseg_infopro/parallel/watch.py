"""Which process of a pipeline is lost, where others wait for one that ended or hangs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

EVERYONE = 'everyone'
COMPUTES, BETWEEN = '', '-'
"""What a process notes that waits for nobody: in a step, or between two."""
FIRST_WORD = 'lost'
SECONDS_TO_SAY = 1
STORE_ERRORS = (dist.DistNetworkError, dist.DistStoreError)


class LostProcessError(RuntimeError):
    """Another process of a pipeline has ended, or does not answer."""

    said_elsewhere = False


def ends_at_once(error: BaseException | None) -> bool:
    """Whether a process must end without a word to the others, which would not answer.

    Args:
        error: What ended its run; marked by :class:`~.run.runner.InfoProRunner`, or raised from
            what was.
    """
    while error is not None:
        if getattr(error, 'ends_at_once', False):
            return True
        error = error.__cause__
    return False


class Watch:
    """Notes in the job's store for whom each process waits, so that the lost one is found.

    A process that ends ends its neighbours, and these theirs: all of them name the one that the
    first of them found. One that hangs is the one for which all others wait, directly or not.

    Args:
        store: Of the job.
        modules: The local module that each process trains, by rank.
        rank: Of this process.
        timeout: Seconds to wait for another one.
        launcher_stores: The launcher holds the store; else process 0 does, and it ends with that.

    Attributes:
        seconds: That this process has waited up to now; for a GPU only its stream waits.
        sending: What of them it waited for the process behind, to take what is on its way there.
    """

    def __init__(
        self,
        store: Any,
        modules: Sequence[int],
        rank: int,
        timeout: float,
        launcher_stores: bool = False,
    ) -> None:
        self._store = PrefixStore('pipeline', store)
        self._modules = modules
        self._rank = rank
        self.timeout = timeout
        self._launcher_stores = launcher_stores
        self.seconds = self.sending = 0.0
        self._state = BETWEEN
        self._note(BETWEEN)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Context of a step: who does not end it while others wait is the one that hangs.

        Raises:
            LostProcessError: The store has ended.
        """
        self._state = COMPUTES
        self._note(self._state)
        try:
            yield
        except STORE_ERRORS as error:
            raise LostProcessError(self._store_ended()) from error
        finally:
            self._state = BETWEEN
        self._note(self._state)

    @contextmanager
    def waiting(self, peer: int | None = None) -> Iterator[None]:
        """Context in which this process waits for another one, or for all of its pipeline.

        Raises:
            LostProcessError: It waited in vain; the sentence names the process and its module.
        """
        self._note(EVERYONE if peer is None else str(peer))
        begin = monotonic()
        try:
            yield
        except RuntimeError as error:
            raise self._lost(peer, error) from error
        waited = monotonic() - begin
        self.seconds += waited
        self.sending += waited if peer is not None and peer > self._rank else 0.0
        self._note(self._state)

    def _note(self, peer: str) -> None:
        try:
            self._store.set(str(self._rank), peer)
        except RuntimeError as error:
            raise LostProcessError(self._store_ended()) from error

    def _lost(self, peer: int | None, error: RuntimeError) -> LostProcessError:
        hangs = 'timed out' in str(error).lower()
        said_elsewhere = False
        try:
            if peer is None and not hangs:
                self._let_others_say()
            found = self._hanging(peer) if hangs or peer is None else peer
            sentence = self._sentence(found, hangs)
            first = self._store.compare_set(FIRST_WORD, '', sentence).decode()
            said_elsewhere = self._store.add('said', 1) > 1
        except RuntimeError:
            first = self._store_ended()
        lost = LostProcessError(first)
        lost.said_elsewhere = said_elsewhere
        return lost

    def _let_others_say(self) -> None:
        """Wait a moment for a process that knows which one has ended, as a neighbour of it does."""
        try:
            self._store.wait([FIRST_WORD], timedelta(seconds=SECONDS_TO_SAY))
        except dist.DistStoreError:  # nobody does
            return

    def _store_ended(self) -> str:
        """Return what is known where nobody can be asked."""
        return 'the launcher has ended' if self._launcher_stores else self._sentence(0, False)

    def _hanging(self, peer: int | None) -> int | None:
        """Return the process at the end of those that wait for another one."""
        waits = {
            rank: self._store.get(str(rank)).decode()
            for rank in range(len(self._modules))
            if rank != self._rank and self._store.check([str(rank)])
        }
        seen = {self._rank}
        while peer is not None and peer not in seen and waits.get(peer, '').isdigit():
            seen.add(peer)
            peer = int(waits[peer])
        for state in (COMPUTES, BETWEEN):
            if peer is not None and peer not in seen and waits.get(peer) == state:
                return peer
            found = [rank for rank, waited in waits.items() if waited == state]
            if found:
                return found[0]
        return peer

    def _sentence(self, rank: int | None, hangs: bool) -> str:
        if rank is None:
            return 'another process of the pipeline has ended'
        module = f'process {rank}, which trains local module {self._modules[rank]}'
        if hangs:
            return f'{module}, has not answered for {self.timeout:g} s'
        return f'{module}, has ended'
