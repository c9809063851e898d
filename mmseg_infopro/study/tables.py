"""A study's table, for documents and for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from .statistics import Interval
from .summary import Row

HEADERS = (
    'way',
    'K',
    'mIoU',
    'n',
    'to E2E, over seeds (t)',
    'to E2E, over frames (bootstrap)',
    'says',
    'peak',
    'FLOPs',
    'step time',
)


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; rows of several states of the project are marked."""
    lines = ['| ' + ' | '.join(HEADERS) + ' |', '|' + '---|' * len(HEADERS)]
    lines += ['| ' + ' | '.join(_cells(row)) + ' |' for row in rows]
    if len({code for row in rows for code in row.codes}) > 1:
        states = {row.way.word: ', '.join(row.codes) for row in rows}
        lines += ['', 'Of several states of the project: ']
        lines[-1] += '; '.join(f'{name}: {codes}' for name, codes in states.items()) + '.'
    return '\n'.join(lines) + '\n'


def comma_separated(rows: Sequence[Row]) -> str:
    """Return one line a run: way, K, seed, mIoU and the way's figures."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(
        ('way', 'K', 'seed', 'mIoU', 'peak_share', 'extra_flops', 'time_ratio', 'codes')
    )
    for row in rows:
        for seed, score in zip(row.seeds, row.scores, strict=True):
            figures = (f'{n:.4f}' for n in (row.peak_share, row.extra_flops, row.time_ratio))
            codes = ' '.join(row.codes)
            writer.writerow(
                (row.way.word, row.way.num_modules, seed, f'{score:.4f}', *figures, codes)
            )
    return text.getvalue()


def _cells(row: Row) -> list[str]:
    spread = '' if row.deviation is None else f' ± {row.deviation:.2f}'
    return [
        row.way.series,
        str(row.way.num_modules),
        f'{row.mean:.2f}{spread}',
        str(len(row.scores)),
        describe(row.by_seeds),
        describe(row.by_frames),
        row.verdict,
        f'{row.peak_share:.1%}',
        f'{row.extra_flops:+.1%}' if row.extra_flops else '',
        f'{row.time_ratio:.2f}',
    ]


def describe(interval: Interval | None) -> str:
    """Return an interval as ``'-1.2 [-2.0, -0.4]'``."""
    if interval is None:
        return ''
    return f'{interval.estimate:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]'
