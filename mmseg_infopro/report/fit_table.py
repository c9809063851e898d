"""The table of `fit`: a line for each way to train under a cap."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ..measure.sizes import table_unit
from .fit_row import Cap, Row
from .step_sizes import MOST_IMAGES, MOST_PIXELS_HIGH


def table_of(rows: Sequence[Row], cap: Cap, caption: str = '') -> Table:
    """Return the rows that are there, with bytes in the unit that suits them."""
    largest = max((row.step.peak.total for row in rows), default=cap.tensors)
    unit, size = table_unit(largest)
    card, margin, tensors = (n / size for n in (cap.total, cap.margin, cap.tensors))
    title = f'{tensors:.2f} {unit} for tensors: {card:.2f} less a margin of {margin:.2f}'
    table = Table(title=title, caption=caption)
    headers = ('', f'peak, {unit}', 'share', 'FLOPs', 'fits', 'largest batch', 'largest crop')
    for header in headers:
        is_name = not header
        table.add_column(header, justify='left' if is_name else 'right', no_wrap=is_name)
    for row in rows:
        peak, first = row.step.peak.total, rows[0].step
        table.add_row(
            row.way.word,
            f'{peak / size:.2f}',
            f'{peak / first.peak.total:.1%}',
            f'{row.step.flops / first.flops - 1:+.1%}' if row is not rows[0] else '',
            'yes' if row.fits else 'no',
            f'{row.batch or "none"}{"+" if row.batch >= MOST_IMAGES else ""}',
            _describe_crop(row),
        )
    return table


def _describe_crop(row: Row) -> str:
    if row.crop is None:
        return 'none (fixed)' if row.fixed_crop else 'none'
    text = '{}x{}'.format(*row.crop)
    if row.fixed_crop:
        return f'{text} (fixed)'
    return f'{text}+' if row.crop[0] >= MOST_PIXELS_HIGH else text
