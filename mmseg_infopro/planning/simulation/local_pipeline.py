"""One local module per device: nothing comes back, so nobody waits but for the slowest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

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
        in_flight: Batches between two neighbours that the second one has not begun with, at most.
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
        stage_peaks(stages, in_flight),
        spans,
    )


def stage_peaks(stages: Sequence[Stage], in_flight: int) -> tuple[int, ...]:
    """Return the peak of each process: its module, and borders on their way to and from it.

    Args:
        stages: One a process.
        in_flight: As for :func:`local_pipeline`.
    """
    borders = [stage.border_bytes for stage in stages[:-1]]
    return tuple(
        stage.fixed_bytes + stage.peak_bytes + border_bytes_alive(received, sent, in_flight)
        for stage, received, sent in zip(stages, [0, *borders], [*borders, 0], strict=True)
    )


def border_bytes_alive(received: int, sent: int, in_flight: int) -> int:
    """Return the bytes of borders that a process holds besides those that it trains on.

    Args:
        received: Of a border that it starts from: the next one may arrive meanwhile.
        sent: Of one that it passes on; each waits until the next process has taken it.
        in_flight: As for :func:`local_pipeline`.
    """
    return received + in_flight * sent


def _tasks(
    stages: Sequence[Stage],
    averages: Sequence[float],
    link: Link,
    in_flight: int,
    num_batches: int,
) -> Iterator[Task]:
    for batch in range(num_batches):
        for k, stage in enumerate(stages):
            arrived = (('send', k - 1, batch),) if k else ()
            yield Task(('take', k, batch), k, 0.0, arrived)
            # A border more would not fit between the two.
            late = batch >= in_flight and k + 1 < len(stages)
            room = (('take', k + 1, batch - in_flight),) if late else ()
            yield Task(('forward', k, batch), k, stage.forward, room)
            if k + 1 < len(stages):
                seconds = link.seconds(stage.border_bytes)
                after = (('forward', k, batch),)
                yield Task(('send', k, batch), ('link', k), seconds, after, link.latency)
            yield Task(('backward', k, batch), k, stage.backward)
            yield Task(('average', k, batch), ('ring', k), averages[k], (('backward', k, batch),))
            yield Task(('update', k, batch), k, stage.update, (('average', k, batch),))
