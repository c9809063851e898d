"""One function over many tasks, in several processes."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar('Task')
Result = TypeVar('Result')


def in_parallel(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Iterator[Result]:
    """Yields the results as they come; the first error stops what has not begun.

    Args:
        function: A module-level function.
        tasks: Its arguments.
        workers: Number of processes; 0 works in this one, in order.
    """
    if workers < 0:
        raise ValueError(f'workers must be 0 (no extra process) or more, got {workers}')
    if workers == 0:
        yield from map(function, tasks)
        return
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(function, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
