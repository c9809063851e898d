"""The event simulation itself: tasks on resources, each of which does one thing at a time."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Something that takes time.

    Attributes:
        name: Unique.
        resource: What it occupies: a device, or one direction of a link. A resource does its tasks
            in the order in which they are given.
        seconds: That it occupies the resource.
        after: Names of the tasks that must have ended before.
        delay: Seconds from its end to when others notice, during which the resource is free: the
            latency of a link.
    """

    name: Hashable
    resource: Hashable
    seconds: float
    after: tuple[Hashable, ...] = ()
    delay: float = 0.0


@dataclass(frozen=True)
class Span:
    """When a task ran, in seconds."""

    task: Task
    start: float
    end: float


def run_tasks(tasks: Iterable[Task]) -> dict[Hashable, Span]:
    """Run all tasks, each as early as its resource and the tasks before it allow.

    Returns:
        By name, in the order in which they began to be possible.

    Raises:
        ValueError: Tasks wait for each other, or for one that does not exist.
    """
    queues: dict[Hashable, deque[Task]] = defaultdict(deque)
    waiting: dict[Hashable, list[Hashable]] = defaultdict(list)
    for task in tasks:
        queues[task.resource].append(task)
    num_tasks = sum(map(len, queues.values()))
    done: dict[Hashable, Span] = {}
    free: dict[Hashable, float] = defaultdict(float)
    ready = list(queues)
    while ready:
        resource = ready.pop()
        queue = queues[resource]
        while queue:
            task = queue[0]
            missing = next((name for name in task.after if name not in done), None)
            if missing is not None:
                waiting[missing].append(resource)
                break
            queue.popleft()
            heard = (done[name].end + done[name].task.delay for name in task.after)
            start = max(free[resource], *heard, 0.0)
            free[resource] = start + task.seconds
            done[task.name] = Span(task, start, free[resource])
            ready += waiting.pop(task.name, [])
    if len(done) < num_tasks:
        stuck = next(queue[0].name for queue in queues.values() if queue)
        raise ValueError(f'{stuck} waits for what never ends')
    return done
