"""A picture of a report on a card: predicted beside measured bytes, and the times of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...measure.sizes import table_unit
from .rows import DONE, CardRow

BAR = 0.8
"""Height of all bars of one row."""
INCHES_PER_ROW = 0.32


def draw_card(machine: Mapping[str, Any], rows: Sequence[CardRow], file: Path) -> None:
    """Draw what was measured of bytes and times.

    Args:
        machine: Whose name is the title.
        rows: Of a report.
        file: To write, ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        ValueError: No row of either kind is done.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    done = [row for row in rows if row.state == DONE]
    memory = [row for row in done if row.section == 'memory']
    times = [
        (f'{row.name.removesuffix(" float32")} {way["name"]}', way)
        for row in done
        if row.section == 'times'
        for way in row.figures['rows']
        if way['seconds'] is not None
    ]
    if not memory and not times:
        raise ValueError(f'{file} is not drawn: no row of bytes or times is done')
    parts = [part for part in (memory, times) if part]
    longest = max(3, *map(len, parts))
    size = (8 * len(parts), INCHES_PER_ROW * longest + 1.6)
    figure = Figure(figsize=size, layout='constrained')
    FigureCanvasAgg(figure)
    axes = iter(figure.subplots(1, len(parts), squeeze=False)[0])
    if memory:
        _draw_bytes(next(axes), memory)
    if times:
        _draw_times(next(axes), times)
    figure.suptitle(f'{machine["name"]}, torch {machine["torch"]}')
    figure.savefig(file, dpi=150)


def _draw_bytes(axes: Any, rows: Sequence[CardRow]) -> None:
    kinds = [
        kind
        for kind in ('predicted', 'allocated', 'reserved')
        if all(row.figures[kind] is not None for row in rows)
    ]
    unit, size = table_unit(max(row.figures[kind] for row in rows for kind in kinds))
    width = BAR / len(kinds)
    for number, kind in enumerate(kinds):
        shift = (number - (len(kinds) - 1) / 2) * width
        values = [row.figures[kind] / size for row in rows]
        places = [index + shift for index in range(len(rows))]
        axes.barh(places, values, width, label=kind, color=f'C{number}')
    for index, row in enumerate(rows):
        longest = max(row.figures[kind] for kind in kinds) / size
        missed = abs(row.figures['error']) > row.figures['goal']
        _note(axes, longest, index, f'{row.figures["error"]:+.1%}', missed)
    axes.set_xlabel(f'peak of a training step ({unit}); beside: allocated against predicted')
    _finish(axes, [row.name for row in rows])


def _draw_times(axes: Any, ways: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    values = [1000 * way['seconds'] for _, way in ways]
    lows, highs = (
        [
            abs(1000 * (way.get('quartiles') or [way['seconds']] * 2)[end] - value)
            for (_, way), value in zip(ways, values, strict=True)
        ]
        for end in (0, 1)
    )
    axes.barh(range(len(ways)), values, BAR, color='C0', label='median step')
    axes.errorbar(
        values, range(len(ways)), xerr=(lows, highs), fmt='none', ecolor='0.3', label='quartiles'
    )
    for index, (_, way) in enumerate(ways):
        if way['ratio'] is None:
            continue
        goal = way.get('goal')
        text = f'{way["ratio"]:.2f}' + (f' (goal {goal:.2f})' if goal else '')
        missed = goal is not None and way['ratio'] > goal
        _note(axes, values[index] + highs[index], index, text, missed)
    axes.set_xlabel('time of a training step (ms); beside: relative to E2E')
    _finish(axes, [name for name, _ in ways])


def _note(axes: Any, x: float, y: float, text: str, missed: bool) -> None:
    axes.annotate(
        text,
        (x, y),
        (4, 0),
        textcoords='offset points',
        va='center',
        fontsize=8,
        color='C3' if missed else '0.2',
    )


def _finish(axes: Any, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.5, -0.5)  # the first one on top
    axes.margins(x=0.2)  # for the notes beside the bars
    axes.set_xlim(left=0)
    axes.grid(axis='x', alpha=0.25)
    axes.legend(loc='lower right', bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=8)
