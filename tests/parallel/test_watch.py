"""The process that is lost is named, by all others in the same words."""

from __future__ import annotations

from threading import Timer

import pytest
import torch.distributed as dist

from mmseg_infopro.parallel.watch import LostProcessError, Watch

CLOSED = RuntimeError('Connection closed by peer [127.0.0.1]:1')
LATE = RuntimeError('Timed out waiting 100ms for recv operation to complete')
ENDED = 'process {}, which trains local module {}, has ended'
HANGS = 'process {}, which trains local module {}, has not answered for 2.5 s'


@pytest.fixture
def watches() -> list[Watch]:
    """Of two pipelines of three processes."""
    store = dist.HashStore()
    return [Watch(store, [0, 1, 2] * 2, rank, timeout=2.5) for rank in range(6)]


def lost(watch: Watch, peer: int | None, error: RuntimeError) -> LostProcessError:
    with pytest.raises(LostProcessError) as found, watch.waiting(peer):
        raise error
    return found.value


def test_a_peer_that_ended_is_named_by_all(watches: list[Watch]) -> None:
    first = lost(watches[2], 1, CLOSED)
    assert str(first) == ENDED.format(1, 1) and not first.said_elsewhere
    for rank, peer in ((0, 1), (5, 2), (3, None)):  # ended by what the first of them did
        other = lost(watches[rank], peer, CLOSED)
        assert str(other) == ENDED.format(1, 1) and other.said_elsewhere


def test_the_one_that_hangs_is_at_the_end_of_those_that_wait(watches: list[Watch]) -> None:
    with pytest.raises(LostProcessError), watches[1].waiting(0):
        error = lost(watches[2], 1, LATE)
        assert str(error) == HANGS.format(0, 0)
        raise LATE


def test_what_all_wait_for_is_the_one_that_does_not(watches: list[Watch]) -> None:
    for rank in (0, 1, 2, 3, 5):
        watches[rank]._note('everyone')
    assert str(lost(watches[1], None, LATE)) == HANGS.format(4, 1)


def test_who_is_in_a_step_hangs_rather_than_who_is_between_two(watches: list[Watch]) -> None:
    with watches[3].step():
        for rank in (0, 1, 5):
            watches[rank]._note('everyone')
        assert str(lost(watches[1], None, LATE)) == HANGS.format(3, 0)


def test_one_that_hangs_between_steps_is_found_too(watches: list[Watch]) -> None:
    for rank in (0, 3, 4, 5):
        watches[rank]._note('everyone')
    watches[1]._note('2')
    assert str(lost(watches[0], 1, LATE)) == HANGS.format(2, 2)


@pytest.mark.parametrize(
    ('launcher_stores', 'said'), [(False, ENDED.format(0, 0)), (True, 'the launcher has ended')]
)
def test_the_store_ends_with_who_holds_it(launcher_stores: bool, said: str) -> None:
    server = dist.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)
    client = dist.TCPStore('127.0.0.1', server.port, is_master=False)
    watch = Watch(client, [0, 1, 2], 2, timeout=2.5, launcher_stores=launcher_stores)
    with pytest.raises(LostProcessError) as found, watch.waiting(1):
        del server
        raise CLOSED  # by process 1, which process 0 has ended
    assert str(found.value) == said and not found.value.said_elsewhere
    with pytest.raises(LostProcessError, match=said), watch.step():
        pass


def test_who_does_not_know_lets_a_neighbour_say(watches: list[Watch]) -> None:
    speaker = Timer(0.2, lambda: lost(watches[2], 1, CLOSED))
    speaker.start()
    assert str(lost(watches[5], None, CLOSED)) == ENDED.format(1, 1)
    speaker.join()


def test_waits_that_end_well_leave_nothing(watches: list[Watch]) -> None:
    with watches[1].waiting(2):
        pass
    for rank in (0, 2, 3, 4, 5):
        watches[rank]._note('everyone')
    assert str(lost(watches[0], None, LATE)) == HANGS.format(1, 1)
