"""The tables of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ...measure.sizes import table_unit
from .scale import ONE_EACH, ScaleRow


def scale_tables(rows: Sequence[ScaleRow]) -> list[Table]:
    """Return a table for each link, with a line for each way to use each number of devices."""
    return [
        _table(link, [row for row in rows if row.link.name == link])
        for link in dict.fromkeys(row.link.name for row in rows)
    ]


def _table(link: str, rows: Sequence[ScaleRow]) -> Table:
    unit, size = table_unit(max(row.outcome.largest_peak for row in rows))
    table = Table(title=f'Simulated, {link}', box=SIMPLE_HEAD, collapse_padding=True)
    headers = ['devices', 'images\na step', '', 'images\n/ s', 'speedup']
    headers += ['busy\nmean', 'busy\nleast', f'{unit}\na device']
    for header in headers:
        table.add_column(header, justify='right' if header else 'left', no_wrap=True)
    before = None
    for row in rows:
        outcome, busy = row.outcome, row.outcome.utilisation
        is_new = row.num_devices != before
        table.add_row(
            str(row.num_devices) if is_new else '',
            str(row.images) if is_new else '',
            outcome.scheme,
            f'{outcome.images_per_second:.1f}',
            f'{row.speedup:.2f}',
            f'{sum(busy) / len(busy):.0%}',
            f'{min(busy):.0%}',
            f'{outcome.largest_peak / size:.2f}',
        )
        before = row.num_devices
    return table


def as_json(row: ScaleRow) -> dict[str, Any]:
    """Return the figures of a row as JSON can write them."""
    return dict(
        num_devices=row.num_devices,
        link=row.link.name,
        scheme=row.outcome.scheme,
        images=row.images,
        images_per_second=row.outcome.images_per_second,
        speedup=row.speedup,
        utilisation=list(row.outcome.utilisation),
        peak_bytes=list(row.outcome.peak_bytes),
        boundaries=list(row.boundaries),
        time_shares=list(row.shares),
    )


def partition_lines(rows: Sequence[ScaleRow]) -> list[str]:
    """Return, once for each number of devices, where local modules end and what each one takes."""
    lines: dict[int, str] = {}
    for row in rows:
        if row.series == ONE_EACH and row.num_devices not in lines:
            shares = ', '.join(f'{share:.1%}' for share in row.shares)
            lines[row.num_devices] = (
                f'K={row.num_devices}: boundaries={list(row.boundaries)}\n'
                f'    predicted shares of the time: {shares}'
            )
    return list(lines.values())
