"""Augmentation that depends on the seed and on the place in the training stream, on nothing else.

A `StreamSampler` numbers the samples of the endless training stream, and a `SeededDataset` seeds
the random number generators from that number. So a sample looks the same whichever worker loads
it, however many workers there are, and after a resume.
"""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset, InfiniteSampler
from mmengine.logging import print_log
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Dataset

from .row_sampler import row_size


class StreamIndex(int):
    """A data set index that knows its place in the training stream.

    Args:
        index: The plain index.
        seed: The seed of the stream, the same in every process.
        position: The place in the stream, counted from 0 over all processes.
    """

    seed: int
    position: int

    def __new__(cls, index: int, seed: int, position: int) -> 'StreamIndex':  # noqa: D102
        self = super().__new__(cls, index)
        self.seed = seed
        self.position = position
        return self

    def __getnewargs__(self) -> tuple[int, int, int]:  # type: ignore[override]
        return int(self), self.seed, self.position


@DATA_SAMPLERS.register_module()
class StreamSampler(InfiniteSampler):
    """mmengine's `InfiniteSampler`, the same indices in the same order, as `StreamIndex`.

    Args:
        args: As for `InfiniteSampler`.
        processes_per_sample: How many neighbouring processes load the same samples, as those of a
            pipeline do; together they count as one. A job of one process loads them all.
        kwargs: As for `InfiniteSampler`.
    """

    def __init__(self, *args: Any, processes_per_sample: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row = row_size(self, processes_per_sample)
        self.rank //= row
        self.world_size //= row

    def _indices_of_rank(self) -> Iterator[int]:
        # InfiniteSampler.skip restarts this generator, so positions survive a resume.
        for step, index in enumerate(super()._indices_of_rank()):
            yield StreamIndex(index, self.seed, self.rank + step * self.world_size)


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Loads each sample of the wrapped data set with random numbers of its own.

    Python's, numpy's and torch's CPU generators are seeded from the `StreamIndex` for the time of
    the access and restored afterwards. It must be the outermost data set of the dataloader, whose
    sampler must be a `StreamSampler`. A plain index has no place in the stream: it is loaded with
    the generators as they are, with a warning.

    Args:
        dataset: The data set to wrap, or its config.
    """

    def __init__(self, dataset: BaseDataset | dict[str, Any]) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self._warned = False

    @property
    def metainfo(self) -> dict[str, Any]:
        """The meta information of the wrapped data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Loads the annotations of the wrapped data set."""
        self.dataset.full_init()

    def get_data_info(self, index: int) -> dict[str, Any]:
        """The annotation of one sample, before the pipeline."""
        return self.dataset.get_data_info(index)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if isinstance(index, StreamIndex):
            with seeded_rng(index.seed, index.position):
                return self.dataset[int(index)]
        if not self._warned:
            print_log(
                'SeededDataset got a plain index: augmentation is not seeded, and resuming is not '
                'exact. For training use sampler=dict(type="StreamSampler").',
                logger='current',
                level=logging.WARNING,
            )
            self._warned = True
        return self.dataset[index]


@contextmanager
def seeded_rng(seed: int, position: int) -> Iterator[None]:
    """Seeds the CPU generators from two numbers >= 0 and restores their states at the end."""
    for_python, for_numpy, for_torch = np.random.SeedSequence((seed, position)).generate_state(3)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(int(for_python))
            np.random.seed(for_numpy)
            # torch.manual_seed would also reset the generators of the accelerators.
            torch.default_generator.manual_seed(int(for_torch))
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
