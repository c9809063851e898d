"""One local module per device: nothing comes back, so nobody waits but for the slowest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..borders import Borders
from .events import Task, run_tasks
from .links import Link
from .stages import Outcome, Stage, busy_share

NUM_BATCHES = 32
"""In the steady state that is looked at: the pipeline fills before, and runs empty afterwards."""


def local_pipeline(
    stages: Sequence[Stage],
    batch_size: int,
    link: Link,
    in_flight: int = 2,
    num_replicas: int = 1,
    update_interval: int = 1,
) -> Outcome:
    """Simulate local modules on devices of their own.

    Args:
        stages: One a device, for one batch.
        batch_size: Images.
        link: Between neighbours, and between replicas of a stage.
        in_flight: Borders on their way between two neighbours at most; one begins to travel when
            the second neighbour is ready for it.
        num_replicas: Pipelines side by side; each stage averages its gradients with its replicas.
        update_interval: Batches whose gradients add up; the update, and what it waits for, counts
            with this share of its time.

    Raises:
        ValueError: ``in_flight`` is less than 1.
    """
    if in_flight < 1:
        raise ValueError(f'in_flight must be at least 1, got {in_flight}')
    first = (in_flight + 1) * len(stages)
    last = first + NUM_BATCHES
    averages = [
        link.all_reduce_seconds(stage.gradient_bytes, num_replicas) / update_interval
        for stage in stages
    ]
    own = [replace(stage, update=stage.update / update_interval) for stage in stages]
    spans = run_tasks(_tasks(own, averages, link, in_flight, num_batches=last + first))
    ends = [spans['update', len(stages) - 1, batch].end for batch in (first, last)]
    return Outcome(
        f'local {len(stages)} x {num_replicas}',
        num_replicas * batch_size * (last - first) / (ends[1] - ends[0]),
        busy_share(spans, range(len(stages)), *ends),
        stage_peaks(stages, Borders(in_flight)),
        spans,
    )


def stage_peaks(stages: Sequence[Stage], borders: Borders) -> tuple[int, ...]:
    """Return the peak of each process: its module, and the borders that it holds besides.

    Args:
        stages: One a process.
        borders: How many there are.
    """
    received = (0, *(stage.border_bytes for stage in stages[:-1]))
    return tuple(
        stage.fixed_bytes + stage.peak_bytes + borders.alive(before, stage.border_bytes)
        for before, stage in zip(received, stages, strict=True)
    )


def _tasks(
    stages: Sequence[Stage],
    averages: Sequence[float],
    link: Link,
    in_flight: int,
    num_batches: int,
) -> Iterator[Task]:
    last = len(stages) - 1
    for batch in range(num_batches):
        for k, stage in enumerate(stages):
            if k:
                yield Task(('ask', k, batch), k, 0.0)
                yield Task(('take', k, batch), k, 0.0, (('send', k - 1, batch),))
            yield Task(('forward', k, batch), k, stage.forward)
            if k < last:
                # No more than these are on their way.
                earlier = (('send', k, batch - in_flight),) if batch >= in_flight else ()
                yield Task(('hand on', k, batch), k, 0.0, earlier)
                yield Task(
                    ('send', k, batch),
                    ('link', k),
                    link.seconds(stage.border_bytes),
                    (('hand on', k, batch), ('ask', k + 1, batch)),
                    link.latency,
                )
            yield Task(('backward', k, batch), k, stage.backward)
            yield Task(('average', k, batch), ('ring', k), averages[k], (('backward', k, batch),))
            yield Task(('update', k, batch), k, stage.update, (('average', k, batch),))
