"""The table of a race, and what to know beside it."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ...measure.sizes import table_unit
from .measuring import Comparison
from .race import measured_link, measured_stages
from .trace import time_shares
from .turns import APART, ONE_PROCESS, PIPELINE


def race_table(found: Comparison) -> Table:
    """Return the figures of all ways; speeds are relative to one process with all modules."""
    alone = next(row for row in found.rows if row.way == ONE_PROCESS)
    unit, size = table_unit(max(max(cost.peak_bytes) for cost in found.costs.values()))
    table = Table(title='Measured on this machine', box=SIMPLE_HEAD, collapse_padding=True)
    headers = ['', 'images\n/ s', '/ one\nprocess', 'in rounds', f'grown\n{unit}']
    headers += [f'planned\n{unit}', 'FLOPs\n/ E2E', 'simu-\nlated']
    for header in headers:
        table.add_column(header, justify='right' if header else 'left', no_wrap=True)
    for row in found.rows:
        cost = found.costs.get(row.way)
        table.add_row(
            row.way,
            f'{row.images_per_second:.2f}',
            f'{row.images_per_second / alone.images_per_second:.2f}',
            f'{min(row.rounds):.2f} to {max(row.rounds):.2f}',
            ', '.join('-' if grown is None else f'{grown / size:.0f}' for grown in row.grown_bytes),
            '' if cost is None else ', '.join(f'{value / size:.0f}' for value in cost.peak_bytes),
            '' if cost is None else f'{cost.flops_ratio:.1%}',
            '' if row.simulated is None else f'{row.simulated:.2f}',
        )
    return table


def race_lines(found: Comparison) -> list[str]:
    """Return what to know beside the table."""
    by_way, turns = {row.way: row for row in found.rows}, found.turns
    apart = by_way[PIPELINE].images_per_second / by_way[APART].images_per_second
    stages, link = measured_stages(turns), measured_link(turns)
    total = sum(stage.seconds for stage in stages)
    did = [
        f'process {rank}: ' + ', '.join(f'{kind} {share:.1%}' for kind, share in shares.items())
        for rank, shares in enumerate(map(time_shares, turns[PIPELINE][-1]))
    ]
    return [
        f'pipeline / side by side: {apart:.3f}',
        f'boundaries={list(found.local.model.local.boundaries)}',
        'measured shares of the time, side by side: '
        + ', '.join(f'{stage.seconds / total:.1%}' for stage in stages),
        f'link: {link.bytes_per_second / 1e9:.2f} GB/s; borders of '
        + ', '.join(f'{stage.border_bytes / 2**20:.2f} MiB' for stage in stages[:-1]),
        *did,
        'side by side: the slowest of the modules, each on a process without the others; grown: '
        'resident memory of a process, or bytes of tensors on a GPU, in the turn with least',
    ]
