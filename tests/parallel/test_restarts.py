"""What attempts of a job share that the launcher restarts, and what they do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import torch.distributed as dist

from mmseg_infopro.parallel import continues_training, note_training, restarts


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Begin an attempt, as the launcher does, which keeps one store for all of them."""
    store = dist.TCPStore('127.0.0.1', 0, is_master=True)

    def begin(attempt: int, holds_store: bool = True) -> None:
        for name, value in {
            'TORCHELASTIC_USE_AGENT_STORE': holds_store,
            'TORCHELASTIC_RESTART_COUNT': attempt,
            'MASTER_ADDR': '127.0.0.1',
            'MASTER_PORT': store.port,
            'RANK': 1,
            'WORLD_SIZE': 2,
        }.items():
            monkeypatch.setenv(name, str(value))

    return begin


def test_attempts_do_not_see_each_others_addresses(begin: Callable[..., None]) -> None:
    begin(attempt=0)
    assert restarts.rendezvous_of_attempt() == {}
    begin(attempt=1)
    first = restarts.rendezvous_of_attempt()
    assert (first['rank'], first['world_size']) == (1, 2)
    first['store'].set('address', 'one')
    assert restarts.rendezvous_of_attempt()['store'].get('address') == b'one'
    begin(attempt=2)
    second = restarts.rendezvous_of_attempt()['store']
    assert not second.check(['address'])
    second.set_timeout(timedelta(seconds=1))
    with pytest.raises(dist.DistStoreError):
        second.get('address')


def test_a_restarted_attempt_knows_whether_training_had_begun(begin: Callable[..., None]) -> None:
    begin(attempt=1)
    assert not continues_training()  # the first attempt was refused
    note_training()
    assert continues_training()
    begin(attempt=0)
    assert not continues_training()
    begin(attempt=2)
    assert continues_training()


def test_without_a_store_of_the_launcher_nothing_is_known(begin: Callable[..., None]) -> None:
    begin(attempt=1, holds_store=False)
    note_training()
    assert not continues_training()
    assert restarts.rendezvous_of_attempt() == {}
