"""Pipelines of end-to-end training: gradients come back, so devices wait for them.

A batch is split into micro-batches. GPipe (Huang et al., arXiv 1811.06965) runs all forward passes
before the first backward pass; one forward, one backward (PipeDream-Flush, Narayanan et al., arXiv
2006.09503) begins with backward passes as soon as it can, and so keeps fewer activations. Both wait
the same (p - 1) / (m + p - 1) of the time where p equal stages train on m micro-batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .events import Task, run_tasks
from .links import Link
from .stages import Outcome, Stage, busy_share

Order = Callable[[int, int, int], list[tuple[str, int]]]
"""From number of stages, stage and number of micro-batches to what the stage does, in order."""
NUM_STEPS = 3
"""That are simulated; the last one is the steady state."""


def gpipe_order(num_stages: int, stage: int, num_micro: int) -> list[tuple[str, int]]:
    """Return all forward passes, then all backward passes."""
    forwards = [('forward', micro) for micro in range(num_micro)]
    return forwards + [('backward', micro) for micro in reversed(range(num_micro))]


def one_forward_one_backward_order(
    num_stages: int, stage: int, num_micro: int
) -> list[tuple[str, int]]:
    """Return forward passes until the first gradient can be there, then one of each by turns."""
    ahead = min(num_stages - stage, num_micro)
    order = [('forward', micro) for micro in range(ahead)]
    for micro in range(num_micro):
        order.append(('backward', micro))
        if micro + ahead < num_micro:
            order.append(('forward', micro + ahead))
    return order


def most_alive(order: Sequence[tuple[str, int]]) -> int:
    """Return of how many micro-batches a stage keeps the activations at once, at most."""
    alive = most = 0
    for kind, _ in order:
        alive += 1 if kind == 'forward' else -1
        most = max(most, alive)
    return most


SCHEMES: dict[str, Order] = {'GPipe': gpipe_order, '1F1B': one_forward_one_backward_order}


def end_to_end_pipeline(
    scheme: str, stages: Sequence[Stage], batch_size: int, num_micro: int, link: Link
) -> Outcome:
    """Simulate a step of an end-to-end pipeline.

    Args:
        scheme: One of :data:`SCHEMES`.
        stages: One a device, for one micro-batch; ``update`` is for all of them.
        batch_size: Images of a micro-batch.
        num_micro: Micro-batches of a step.
        link: Between neighbours.
    """
    order = SCHEMES[scheme]
    spans = run_tasks(_tasks(order, stages, num_micro, link))
    begin, end = (spans['update', 0, step].end for step in (NUM_STEPS - 2, NUM_STEPS - 1))
    peaks = [
        _peak(stage, most_alive(order(len(stages), k, num_micro))) for k, stage in enumerate(stages)
    ]
    return Outcome(
        scheme,
        batch_size * num_micro / (end - begin),
        busy_share(spans, range(len(stages)), begin, end),
        tuple(peaks),
        spans,
    )


def _peak(stage: Stage, num_alive: int) -> int:
    """Return a stage's peak: gradients of all micro-batches add up until the update."""
    waiting = (num_alive - 1) * stage.saved_bytes
    return stage.fixed_bytes + stage.gradient_bytes + stage.peak_bytes + waiting


def _tasks(order: Order, stages: Sequence[Stage], num_micro: int, link: Link) -> Iterator[Task]:
    last = len(stages) - 1
    for step in range(NUM_STEPS):
        for k, stage in enumerate(stages):
            for kind, micro in order(len(stages), k, num_micro):
                source = k - 1 if kind == 'forward' else k + 1
                has_source = 0 <= source <= last
                after = ((f'send {kind}', source, step, micro),) if has_source else ()
                seconds = stage.forward if kind == 'forward' else stage.backward
                yield Task((kind, k, step, micro), k, seconds, after)
                target = k + 1 if kind == 'forward' else k - 1
                if 0 <= target <= last:
                    # The gradient of a border has as many bytes as the border.
                    border = stages[min(k, target)].border_bytes
                    yield Task(
                        (f'send {kind}', k, step, micro),
                        (kind, k),
                        link.seconds(border),
                        ((kind, k, step, micro),),
                        link.latency,
                    )
            yield Task(('update', k, step), k, stage.update)
