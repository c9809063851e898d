"""A benchmark for people to read: its table, what to know beside it, and its picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ..measure.sizes import format_bytes, table_unit
from .pareto import draw_tradeoff
from .process_rows import Processes, processes_lines, processes_table
from .rows import Row, full_name, measured_memory, points_to_draw


@dataclass(frozen=True)
class Report:
    """What a benchmark found, and of what.

    Attributes:
        config: As the user named it.
        batch_size: Images of a step.
        crop: Their height and width, in pixels.
        rounds: Turns of each row.
        steps: Timed steps a turn.
        machine: See :func:`describe_machine`.
        rows: See :func:`benchmark_rows`.
        processes: See :func:`process_rows`, for each number of processes that was asked for.
    """

    config: str
    batch_size: int
    crop: tuple[int, int]
    rounds: int
    steps: int
    machine: dict[str, Any]
    rows: list[Row]
    processes: list[Processes] = field(default_factory=list)

    @property
    def timed(self) -> bool:
        """Say whether real steps were asked for."""
        return self.rows[0]['measured'] is not None


def report_tables(report: Report) -> list[Table]:
    """Return one table for each precision, with one line for each way to train.

    There is a further one for each number of processes.
    Bytes are in the unit that suits the first row.
    """
    precisions = dict.fromkeys(row['precision'] for row in report.rows)
    tables = [_table(report, precision) for precision in precisions]
    levers = [row for row in report.rows if row['exact']]
    tables += [_lever_table(levers)] if levers else []
    return [*tables, *map(processes_table, report.processes)]


def _lever_table(rows: list[Row]) -> Table:
    table = Table(
        title='Weights, as those of the plain step', box=SIMPLE_HEAD, collapse_padding=True
    )
    for header in ('', 'weights', 'what it does'):
        table.add_column(header)
    for row in rows:
        table.add_row(row['name'], row['exact'], row['summary'])
    return table


def _table(report: Report, precision: str) -> Table:
    unit, size = table_unit(report.rows[0]['predicted']['total'])
    on_gpu = measured_memory(report.rows)
    headers = ['', f'peak\n{unit}', 'peak\n/ E2E', 'FLOPs\n/ E2E']
    headers += ['step\nms', 'spread\n+-', 'time\n/ E2E'] if report.timed else []
    headers += [f'alloc.\n{unit}', f'reserved\n{unit}'] if on_gpu else []
    title = f'Training steps in {precision}'
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True)  # fits 80 columns
    for header in headers:
        table.add_column(header, justify='right' if header else 'left', no_wrap=bool(header))
    for row in report.rows:
        if row['precision'] == precision:
            cells = _predicted_cells(row, size) + (_time_cells(row) if report.timed else [])
            if on_gpu:
                cells += [_number(row['measured'][key], size) for key in ('allocated', 'reserved')]
            table.add_row(row['name'], *cells)
    return table


def _predicted_cells(row: Row, size: float) -> list[str]:
    predicted = row['predicted']
    if predicted is None:
        return ['-', '', '']
    shares = (f'{predicted[key]:.1%}' for key in ('share', 'flops_ratio'))
    return [_number(predicted['total'], size), *shares]


def _time_cells(row: Row) -> list[str]:
    measured = row['measured']
    if measured['seconds'] is None:
        return ['-', '', '']
    low, high = measured['quartiles']
    spread = f'{(high - low) / 2 / measured["seconds"]:.1%}'
    ratio = '-' if measured['ratio'] is None else f'{measured["ratio"]:.1%}'
    return [_milliseconds(measured['seconds']), spread, ratio]


def _number(num_bytes: int | None, size: float) -> str:
    return '-' if num_bytes is None else f'{num_bytes / size:.2f}'


def _milliseconds(seconds: float) -> str:
    return f'{1000 * seconds:.1f}' if seconds < 0.1 else f'{1000 * seconds:.0f}'


def remarks(report: Report) -> list[str]:
    """Return the lines below the tables: what the columns are, machine, drift and boundaries."""
    height, width = report.crop
    lines = [
        f'a step: {report.batch_size} images of {height} x {width}; '
        'peak: predicted on fake tensors; / E2E: relative to E2E in the same precision'
    ]
    if report.timed:
        lines.append(f'step: median of {report.rounds} x {report.steps} on {machine_line(report)}')
        lines.append('spread: half the width of the middle half of these steps')
    if measured_memory(report.rows):
        lines.append('alloc., reserved: what torch.cuda measured at most during a step')
    if any('>' in row['name'] for row in report.rows):
        lines.append('auto >SIZE: nothing fits this cap; the smallest peak found')
    several = len({row['precision'] for row in report.rows}) > 1
    known: list[str] = []  # of the rows before
    for row in report.rows:
        name, measured = full_name(row) if several else row['name'], row['measured']
        if row['name'] == 'e2e':
            lines.append(f'{name}: {row["predicted"]["flops"] / 1e12:.3g} TFLOP a step')
        if row['not_predicted']:
            lines.append(f'{name}: {row["not_predicted"]}')
        elif row['predicted']['host_bytes']:
            moved = format_bytes(row['predicted']['host_bytes'])
            lines.append(f'{name}: {moved} go to the host and come back')
        if measured and measured['failure'] and measured['failure'] != row['not_predicted']:
            lines.append(f'{name}: {measured["failure"]}')
        elif measured and row['name'] == 'e2e':
            drift = ', '.join(_milliseconds(value) for value in measured['round_seconds'])
            lines.append(f'{name}: {drift} ms in the rounds, one after the other')
        is_known = row['exact'] and row['boundaries'] == known
        if row['boundaries'] and not is_known:
            lines.append(f'{name}: boundaries={row["boundaries"]}')
        known = row['boundaries'] or known
    return [*lines, *chain.from_iterable(map(processes_lines, report.processes))]


def machine_line(report: Report) -> str:
    """Name the machine."""
    machine = report.machine
    threads = f', threads: {machine["threads"]}' if machine['threads'] else ''
    return f'{machine["name"]}{threads}, torch {machine["torch"]}'


def draw_report(report: Report, file: Path) -> None:
    """Draw memory against time, or against FLOPs where no time was asked for.

    Args:
        report: Of which at least one row can be drawn.
        file: To write, ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        ValueError: No row could be timed.
    """
    points = points_to_draw(report.rows)
    if not points:
        raise ValueError(f'{file} is not drawn: no row could be timed')
    failed = [
        full_name(row) for row in report.rows if row['measured'] and not row['measured']['seconds']
    ]
    source = 'measured on the GPU' if measured_memory(report.rows) else 'predicted'
    lines = [machine_line(report)] if report.timed else []
    lines += [f'could not be timed: {", ".join(failed)}'] if failed else []
    draw_tradeoff(
        points,
        file,
        cost='median time of a training step (s)' if report.timed else 'TFLOP of a training step',
        memory=f'peak of a training step, {source}',
        title=Path(report.config).stem,
        note='\n'.join(lines),
    )
