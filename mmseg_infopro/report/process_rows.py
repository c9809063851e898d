"""A benchmark's rows for several processes: a local module on each, and data parallelism."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..config.step import step_shape
from ..local.settings import LocalSettings
from ..measure.sizes import table_unit
from .pipeline.measuring import Comparison, compare_ways
from .pipeline.race import race_device
from .pipeline.turns import DATA_PARALLEL, END_TO_END, ONE_PROCESS, PIPELINE
from .timing import why_not_timed_here

Processes = dict[str, Any]


def process_rows(
    cfg: Config, num_processes: int, num_rounds: int, num_steps: int, timed: bool
) -> Processes:
    """Return the figures of each way to use K processes, and of one process beside them.

    Those of the processes race by turns, as ``infopro pipeline --measure K`` lets them: a process
    has one thread, or a GPU, so that their times are not those of a benchmark's other rows.
    ``ratio`` is of images a second, ``flops_ratio`` of FLOPs an image, both relative to
    end-to-end training on one process.

    Args:
        cfg: Any config of mmseg.
        num_processes: K, and the number of local modules.
        num_rounds: Turns of each way.
        num_steps: Timed steps a turn.
        timed: Whether they race; speeds are None otherwise.
    """
    in_flight = (cfg.model.get('local') or {}).get('in_flight') or LocalSettings.in_flight
    failure = why_not_timed_here(cfg, race_device(num_processes)) if timed else None
    rounds = num_rounds if timed and failure is None else 0
    found = compare_ways(cfg, num_processes, in_flight, rounds, num_steps)
    return dict(
        num_processes=num_processes,
        boundaries=list(found.local.model.local.boundaries),
        recompute=found.local.model.local.get('recompute', 'none'),
        batch_size=step_shape(found.local).batch_size,
        machine=dict(found.machine),
        failure=failure,
        rows=_rows(found),
    )


def _rows(found: Comparison) -> list[dict[str, Any]]:
    raced = {row.way: row for row in found.rows}
    base = raced[END_TO_END].images_per_second if raced else None
    count = len(found.local.model.local.boundaries) + 1
    names = {
        END_TO_END: 'E2E, 1 process',
        DATA_PARALLEL: f'E2E, {count} processes',
        ONE_PROCESS: f'{count} modules, 1 process',
        PIPELINE: f'{count} modules, {count} processes',
    }
    rows = []
    for way, name in names.items():
        row, cost = raced.get(way), found.costs[way]
        rows.append(
            dict(
                name=name,
                way=way,
                peak_bytes=list(cost.peak_bytes),
                flops_ratio=cost.flops_ratio,
                images_per_second=row and row.images_per_second,
                rounds=list(row.rounds) if row else [],
                ratio=row.images_per_second / base if row and base else None,
                grown_bytes=list(row.grown_bytes) if row else [],
            )
        )
    return rows


def processes_table(processes: Processes) -> Table:
    """Return the table of K processes, with one line for each way to use them."""
    rows, timed = processes['rows'], bool(processes['rows'][0]['rounds'])
    unit, size = table_unit(max(max(row['peak_bytes']) for row in rows))
    title = f'Training on {processes["num_processes"]} processes'
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True)
    headers = ['', f'peaks\n{unit}', 'FLOPs\n/ E2E']
    headers += ['images\n/ s', '/ E2E', 'spread\n+-', f'grown\n{unit}'] if timed else []
    for header in headers:
        table.add_column(header, justify='right' if header else 'left', no_wrap=True)
    for row in rows:
        cells = [_each(row['peak_bytes'], size), f'{row["flops_ratio"]:.1%}']
        if timed:
            cells += [f'{row["images_per_second"]:.2f}', f'{row["ratio"]:.2f}']
            spread = (max(row['rounds']) - min(row['rounds'])) / 2 / row['images_per_second']
            cells.append(f'{spread:.1%}')
            cells += [_each([grown for grown in row['grown_bytes'] if grown is not None], size)]
        table.add_row(row['name'], *cells)
    return table


def _each(values: list[int], size: float) -> str:
    return ', '.join(f'{value / size:.0f}' for value in values) or '-'


def processes_lines(processes: Processes) -> list[str]:
    """Return what to know beside the table."""
    machine, count = processes['machine'], processes['num_processes']
    recompute = processes['recompute']
    word = repr(recompute) if isinstance(recompute, str) else 'as in the config'
    each = 'a GPU' if machine['device'] == 'cuda' else 'one thread'
    lines = [
        f'{count} processes: {each} for each process, in the rows of one process too, on '
        f'{machine["name"]}; / E2E: FLOPs an image and images a second, over E2E on one process; '
        f'E2E on {count} processes has a batch of {processes["batch_size"]} images on each',
        f'{count} processes: peaks: predicted, of each process; spread: half of what rounds differ '
        'by; grown: what a process grew by in them, with all that is no tensor',
        f'{count} processes: boundaries={processes["boundaries"]}, recompute={word}',
    ]
    if processes['failure']:
        lines.append(f'{count} processes: {processes["failure"]}')
    return lines
