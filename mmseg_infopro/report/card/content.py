"""The rows of a report on a card, the most valuable first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from .bytes_rows import bytes_task
from .cap_rows import cap_tasks
from .crop_rows import crop_task
from .form_rows import channels_last_task, compile_task
from .group_rows import group_task
from .networks import HOST, MAIN, NETWORKS, TINY, Network
from .plans import AUTO, E2E, EIGHT, FOUR, FREE, LEAN, WAYS, WITH_CP, Plans, ways_of
from .scaling_rows import scaling_task
from .suite_rows import suite_tasks
from .tasks import Setup, Task
from .time_rows import time_task

PRECISIONS = ('float32', 'float16')
OTHER_WAYS = (E2E, FREE, FOUR)


def report_tasks(setup: Setup) -> list[Task]:
    """Return all rows of a report, in the order in which they run."""
    plans = Plans(setup.folder / 'plans')
    rows = _small_rows(setup, plans) if setup.small else _rows(setup, plans)
    return [*_plan_rows(setup, plans), *rows]


def _rows(setup: Setup, plans: Plans) -> Iterator[Task]:
    others = NETWORKS[1:]
    marked, tools = suite_tasks()
    for precision, way in product(PRECISIONS, WAYS):
        yield bytes_task(setup, plans, MAIN, precision, way)
    yield time_task(setup, plans, MAIN, 'float32')
    yield from cap_tasks(setup)
    yield marked
    for network, precision, way in product(others, PRECISIONS, OTHER_WAYS):
        yield bytes_task(setup, plans, network, precision, way)
    yield from (scaling_task(setup, plans, MAIN, way) for way in (E2E, FOUR))
    yield from (crop_task(setup, plans, MAIN, way) for way in (E2E, WITH_CP, LEAN, FOUR, EIGHT))
    yield time_task(setup, plans, MAIN, 'float16')
    yield group_task(setup, plans, MAIN, LEAN)
    yield from (channels_last_task(setup, plans, MAIN, word) for word in reversed(PRECISIONS))
    yield time_task(setup, plans, HOST, 'float32', section='host')
    yield from (time_task(setup, plans, network, 'float32') for network in others)
    yield compile_task(setup, plans, NETWORKS[1], 'float32')
    yield tools


def _small_rows(setup: Setup, plans: Plans) -> Iterator[Task]:
    main, other = TINY
    marked, tools = suite_tasks()
    for network, way in ((main, E2E), (main, LEAN), (other, E2E)):
        yield bytes_task(setup, plans, network, 'float32', way)
    yield bytes_task(setup, plans, main, 'bfloat16', E2E)
    yield time_task(setup, plans, main, 'float32', (E2E, WITH_CP, AUTO, LEAN))
    yield from cap_tasks(setup)
    yield marked
    yield scaling_task(setup, plans, main, LEAN)
    yield crop_task(setup, plans, main, LEAN)
    yield group_task(setup, plans, main, LEAN)
    yield channels_last_task(setup, plans, main, 'float32')
    yield compile_task(setup, plans, main, 'float32')
    yield tools


def _plan_rows(setup: Setup, plans: Plans) -> Iterator[Task]:
    """Yield what makes plans ahead, on any machine."""
    networks: tuple[tuple[Network, str, tuple[str, ...]], ...]
    if setup.small:
        networks = tuple((network, 'float32', (E2E,)) for network in TINY)
    else:
        networks = (
            (MAIN, 'float32', ways_of(MAIN)),
            (MAIN, 'float16', ways_of(MAIN)),
            *((network, 'float32', ways_of(network)) for network in NETWORKS[1:]),
            *((network, 'float16', OTHER_WAYS) for network in NETWORKS[1:]),
            (HOST, 'float32', ways_of(HOST)),
        )
    for network, precision, ways in networks:
        yield _plan_task(plans, network, precision, ways)


def _plan_task(plans: Plans, network: Network, precision: str, ways: tuple[str, ...]) -> Task:
    def run() -> dict[str, Any]:
        peaks = {way: plans.get(network, precision, way).peak for way in ways}
        return dict(network=network.name, precision=precision, peaks=peaks)

    return Task(
        'plan',
        f'{network.name} {precision}',
        run,
        1,
        planning=lambda: plans.seconds_missing(network, precision, ways),
        asked_only=True,
    )
