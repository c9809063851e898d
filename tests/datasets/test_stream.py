import pickle
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader, Dataset

from mmseg_infopro.datasets.stream import SeededDataset, StreamIndex, StreamSampler, seeded_rng


class RandomNumbers(Dataset):
    """Each access draws one number from every generator that augmentations use."""

    metainfo: ClassVar = dict(classes=('a',))

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        assert type(index) is int
        return index, random.random(), np.random.rand(), torch.rand(()).item()

    def get_data_info(self, index: int) -> dict[str, Any]:
        return dict(index=index)

    def full_init(self) -> None:
        self.is_initialized = True


def draw(num_workers: int = 0, skip: int = 0, seed: int = 7) -> list[Any]:
    dataset = SeededDataset(RandomNumbers())
    sampler = StreamSampler(dataset, seed=seed)
    sampler.skip(skip)
    loader = DataLoader(dataset, 3, sampler=sampler, num_workers=num_workers, collate_fn=tuple)
    return [sample for batch in islice(loader, 4) for sample in batch]


@pytest.fixture
def two_ranks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[StreamSampler]]:
    samplers = []
    for rank in (0, 1):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2))
        samplers.append(StreamSampler(RandomNumbers(), seed=3))
    yield samplers


def test_both_are_registered_in_mmseg() -> None:
    assert DATA_SAMPLERS.get('StreamSampler') is StreamSampler
    assert DATASETS.get('SeededDataset') is SeededDataset


def test_index_survives_pickling() -> None:
    index = pickle.loads(pickle.dumps(StreamIndex(4, seed=7, position=12)))
    assert (index, index.seed, index.position) == (4, 7, 12)


@pytest.mark.parametrize('shuffle', [True, False])
def test_sampler_yields_the_indices_of_infinite_sampler(shuffle: bool) -> None:
    ours = StreamSampler(RandomNumbers(), shuffle=shuffle, seed=3)
    theirs = InfiniteSampler(RandomNumbers(), shuffle=shuffle, seed=3)
    assert list(islice(ours, 23)) == list(islice(theirs, 23))


def test_positions_count_over_all_ranks(two_ranks: list[StreamSampler]) -> None:
    positions = [[index.position for index in islice(s, 4)] for s in two_ranks]
    assert positions == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_skipping_keeps_positions(two_ranks: list[StreamSampler]) -> None:
    two_ranks[1].skip(2)
    assert [index.position for index in islice(two_ranks[1], 2)] == [5, 7]


@pytest.mark.parametrize('num_workers', [1, 3])
def test_samples_do_not_depend_on_workers(num_workers: int) -> None:
    assert draw(num_workers) == draw(0)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_samples_continue_after_a_resume(num_workers: int) -> None:
    assert draw(num_workers, skip=6)[:6] == draw(0)[6:]


def test_every_position_and_seed_draws_other_numbers() -> None:
    numbers = {number for seed in (7, 8) for sample in draw(seed=seed) for number in sample[1:]}
    assert len(numbers) == 2 * 12 * 3


def test_seeding_restores_the_states() -> None:
    def state() -> tuple[Any, ...]:
        numpy_state = np.random.get_state()
        return random.getstate(), numpy_state[1].tolist(), torch.get_rng_state().tolist()

    before = state()
    with pytest.raises(KeyError, match='inside'), seeded_rng(1, 2):
        assert state() != before
        raise KeyError('inside')
    assert state() == before


def test_plain_index_is_not_seeded_and_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(
        'mmseg_infopro.datasets.stream.print_log', lambda message, **_: messages.append(message)
    )
    dataset = SeededDataset(RandomNumbers())
    assert dataset[1] != dataset[1]
    assert len(messages) == 1 and 'augmentation is not seeded' in messages[0]


def test_wrapper_delegates() -> None:
    dataset = SeededDataset(RandomNumbers())
    dataset.full_init()
    assert dataset.dataset.is_initialized
    assert (len(dataset), dataset.metainfo) == (5, dict(classes=('a',)))
    assert dataset.get_data_info(2) == dict(index=2)


def test_the_processes_of_a_pipeline_load_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def indices(rank: int, world_size: int, processes_per_sample: int) -> list[StreamIndex]:
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda: (rank, world_size), raising=True
        )
        sampler = StreamSampler(RandomNumbers(), seed=3, processes_per_sample=processes_per_sample)
        return list(islice(sampler, 7))

    for rank in range(6):
        found, wanted = indices(rank, 6, 3), indices(rank // 3, 2, 1)
        assert [(int(i), i.position) for i in found] == [(int(i), i.position) for i in wanted]
    with pytest.raises(ValueError, match='must divide the 6 processes of the job, got 4'):
        indices(0, 6, 4)
