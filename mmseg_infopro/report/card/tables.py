"""A report on a card for people to read, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...measure.sizes import table_unit
from .rows import DONE, CardRow

Cells = Sequence[str]


def as_markdown(machine: Mapping[str, Any], rows: Sequence[CardRow]) -> str:
    """Return the tables, each with its goal beside the figures, then what failed."""
    parts = [
        f'# {machine["name"]}, torch {machine["torch"]}',
        'Made by `python tools/gpu_report.py`. Bytes are those of a training step, predicted on '
        'fake tensors and measured by torch; times are the median step, all ways by turns.',
    ]
    for section, show in SECTIONS.items():
        done = [row for row in rows if row.section == section and row.state == DONE]
        parts += show(done) if done else []
    parts += _not_done(rows)
    return '\n\n'.join(parts) + '\n'


def _table(title: str, headers: Cells, lines: Sequence[Cells], note: str = '') -> list[str]:
    bars = ['---'] + ['---:'] * (len(headers) - 1)
    table = '\n'.join(f'| {" | ".join(cells)} |' for cells in (headers, bars, *lines))
    return [f'## {title}', *([note] if note else []), table]


def _memory(rows: Sequence[CardRow]) -> list[str]:
    headers = ('step', 'predicted', 'allocated', 'reserved', 'alloc. / predicted', 'goal')
    lines = []
    for row in rows:
        found = row.figures
        sizes = (size_text(found[key]) for key in ('predicted', 'allocated', 'reserved'))
        met = goal_text(abs(found['error']), found['goal'], f'within {found["goal"]:.0%}')
        lines.append((row.name, *sizes, f'{found["error"]:+.1%}', met))
    return _table('Peak of a training step', headers, lines)


def _times(rows: Sequence[CardRow], title: str = 'Time of a training step') -> list[str]:
    parts = []
    for row in rows:
        lines = [_time_line(way) for way in row.figures['rows']]
        headers = ('way', 'ms', '/ first', 'goal', 'allocated', 'reserved')
        extra = {
            key: value
            for key, value in row.figures.items()
            if key not in ('rows', 'network', 'precision', 'way')
        }
        note = ', '.join(f'{key}: {_plain(value)}' for key, value in extra.items())
        parts += _table(f'{title}: {row.name}', headers, lines, note)
    return parts


def _time_line(way: Mapping[str, Any]) -> Cells:
    if way['seconds'] is None:
        return (way['name'], str(way.get('failure')), '', '', '', '')
    ratio, goal = way['ratio'], way.get('goal')
    met = '' if goal is None or ratio is None else goal_text(ratio, goal, f'at most {goal:.2f}')
    share = '' if ratio is None else f'{ratio:.3f}'
    sizes = (size_text(way.get(key)) for key in ('allocated', 'reserved'))
    return (way['name'], f'{1000 * way["seconds"]:.1f}', share, met, *sizes)


def _crops(rows: Sequence[CardRow]) -> list[str]:
    lines = [
        (
            row.name,
            size_text(row.figures['card']),
            *(' x '.join(map(str, row.figures[key])) for key in ('predicted', 'measured')),
        )
        for row in rows
    ]
    headers = ('way', 'card', 'predicted', 'by real steps')
    return _table('Largest crop', headers, lines)


def _figures(title: str, rows: Sequence[CardRow]) -> list[str]:
    """Return rows that have figures of their own."""
    parts = [f'## {title}']
    for row in rows:
        found = (f'- {key}: {_plain(value)}' for key, value in row.figures.items())
        parts.append('\n'.join([f'{row.name}:', '', *found]))
    return parts


SECTIONS = {
    'memory': _memory,
    'times': _times,
    'host': lambda rows: _times(rows, 'Time that the host takes to start a step'),
    'cap': lambda rows: _figures('Under a memory cap', rows),
    'tests': lambda rows: _figures('Tests on the card', rows),
    'scaling': lambda rows: _figures('Loss scaling', rows),
    'crop': _crops,
    'group': lambda rows: _times(rows, 'Data parallel, one process'),
    'forms': lambda rows: _times(rows, 'Other forms'),
}


def _not_done(rows: Sequence[CardRow]) -> list[str]:
    lines = [
        f'- {row.section}/{row.name}: {row.failure or "the process ended while it ran"}'
        for row in rows
        if row.state != DONE
    ]
    return ['## Without figures', '\n'.join(lines)] if lines else []


def size_text(num_bytes: int | None) -> str:
    """Return bytes in the unit that suits them; a dash for None."""
    if num_bytes is None:
        return '-'
    unit, size = table_unit(num_bytes)
    return f'{num_bytes / size:.2f} {unit}'


def goal_text(value: float, goal: float, text: str) -> str:
    """Return a goal and whether it is met."""
    return f'{text}: {"met" if value <= goal else "missed"}'


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.4g}'
    if isinstance(value, Mapping):
        return ', '.join(f'{key} {_plain(item)}' for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return '; '.join(map(_plain, value)) or 'none'
    return str(value)
