"""Data parallelism: every device has the whole network, and gradients are averaged meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .events import Task, run_tasks
from .links import Link
from .stages import Outcome, Stage, busy_share


def data_parallel(
    parts: Sequence[Stage],
    batch_size: int,
    num_devices: int,
    link: Link,
    peak_bytes: int = 0,
) -> Outcome:
    """Simulate a step of end-to-end training on several devices.

    Args:
        parts: Of the network, in order; the gradients of each are averaged, by a ring, when its
            backward pass is done, while those of the parts before it are still to come.
        batch_size: Images of each device.
        num_devices: At least 1.
        link: Of the ring.
        peak_bytes: Of each device.
    """
    spans = run_tasks(_tasks(parts, num_devices, link))
    end = spans['update'].end
    busy = busy_share(spans, [0], 0.0, end)
    images = batch_size * num_devices
    return Outcome(
        'data parallel', images / end, busy * num_devices, (peak_bytes,) * num_devices, spans
    )


def _tasks(parts: Sequence[Stage], num_devices: int, link: Link) -> Iterator[Task]:
    for index, part in enumerate(parts):
        yield Task(('forward', index), 0, part.forward)
    averages = []
    for index in reversed(range(len(parts))):
        yield Task(('backward', index), 0, parts[index].backward)
        if num_devices > 1:
            seconds = link.all_reduce_seconds(parts[index].gradient_bytes, num_devices)
            averages.append(('average', index))
            yield Task(averages[-1], 'link', seconds, (('backward', index),))
    yield Task('update', 0, sum(part.update for part in parts), tuple(averages))
