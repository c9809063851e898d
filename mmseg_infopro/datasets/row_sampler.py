"""The samples of an evaluation, of which neighbouring processes get the same."""

from __future__ import annotations

from math import ceil
from typing import Any

from mmengine.dataset import DefaultSampler
from mmseg.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class RowSampler(DefaultSampler):
    """mmengine's `DefaultSampler` between rows of processes, as those of a pipeline.

    Args:
        args: As for `DefaultSampler`.
        processes_per_sample: How many neighbouring processes get the same samples; together they
            count as one.
        kwargs: As for `DefaultSampler`.

    Raises:
        ValueError: The processes of the job are no such rows.
    """

    def __init__(self, *args: Any, processes_per_sample: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if processes_per_sample < 1 or self.world_size % processes_per_sample:
            raise ValueError(
                f'RowSampler.processes_per_sample must divide the {self.world_size} processes of '
                f'the job, got {processes_per_sample}'
            )
        self.processes_per_sample = processes_per_sample
        self.rank //= processes_per_sample
        self.world_size //= processes_per_sample
        length = len(self.dataset)
        left_out = 0 if self.round_up else self.rank
        self.num_samples = ceil((length - left_out) / self.world_size)
        self.total_size = self.num_samples * self.world_size if self.round_up else length
