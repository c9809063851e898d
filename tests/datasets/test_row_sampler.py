from itertools import islice

import pytest
from mmengine.dataset import DefaultSampler

from mmseg_infopro.datasets import RowSampler, StreamSampler


def sampler(monkeypatch: pytest.MonkeyPatch, cls, rank: int, world: int, **kwargs):
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world))
    return cls(range(5), shuffle=False, **kwargs)


@pytest.mark.parametrize('round_up', [True, False])
def test_a_row_is_one_process(monkeypatch: pytest.MonkeyPatch, round_up: bool) -> None:
    seen = set()
    for rank in range(6):
        settings = dict(round_up=round_up)
        found = sampler(monkeypatch, RowSampler, rank, 6, processes_per_sample=3, **settings)
        wanted = sampler(monkeypatch, DefaultSampler, rank // 3, 2, **settings)
        assert list(found) == list(wanted)
        assert len(found) == len(wanted) == len(list(wanted))
        seen |= set(found)
    assert seen == set(range(5))


def test_other_numbers_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match='must divide the 6 processes of the job, got 4'):
        sampler(monkeypatch, RowSampler, 0, 6, processes_per_sample=4)


@pytest.mark.parametrize('cls', [RowSampler, StreamSampler])
def test_one_process_gets_all(monkeypatch: pytest.MonkeyPatch, cls) -> None:
    found = sampler(monkeypatch, cls, 0, 1, processes_per_sample=4)
    assert list(islice(found, 5)) == list(range(5))
    with pytest.raises(ValueError, match='must divide the 1 processes of the job, got 0'):
        sampler(monkeypatch, cls, 0, 1, processes_per_sample=0)
