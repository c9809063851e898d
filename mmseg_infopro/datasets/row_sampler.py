"""The samples of an evaluation, of which neighbouring processes get the same."""

from __future__ import annotations

from math import ceil
from typing import Any

from mmengine.dataset import DefaultSampler
from mmseg.registry import DATA_SAMPLERS


def row_size(sampler: Any, processes_per_sample: int) -> int:
    """Return how many processes of the job share their samples: the one, if there is no other.

    Args:
        sampler: Which knows the job's ``world_size``.
        processes_per_sample: How many shall.

    Raises:
        ValueError: The processes of the job are no such rows.
    """
    if processes_per_sample < 1 or (
        sampler.world_size > 1 and sampler.world_size % processes_per_sample
    ):
        raise ValueError(
            f'{type(sampler).__name__}.processes_per_sample must divide the {sampler.world_size} '
            f'processes of the job, got {processes_per_sample}'
        )
    return min(processes_per_sample, sampler.world_size)


@DATA_SAMPLERS.register_module()
class RowSampler(DefaultSampler):
    """mmengine's `DefaultSampler` between rows of processes, as those of a pipeline.

    Args:
        args: As for `DefaultSampler`.
        processes_per_sample: How many neighbouring processes get the same samples; together they
            count as one. A job of one process, as mmseg's own test script is, gets all samples.
        kwargs: As for `DefaultSampler`.

    Raises:
        ValueError: The processes of the job are no such rows.
    """

    def __init__(self, *args: Any, processes_per_sample: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.processes_per_sample = processes_per_sample
        row = row_size(self, processes_per_sample)
        self.rank //= row
        self.world_size //= row
        length = len(self.dataset)
        left_out = 0 if self.round_up else self.rank
        self.num_samples = ceil((length - left_out) / self.world_size)
        self.total_size = self.num_samples * self.world_size if self.round_up else length
