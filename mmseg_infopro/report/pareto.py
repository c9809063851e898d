"""A picture of memory against what it costs, with the choices that no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..measure.sizes import table_unit
from .figures import blank_figure, save_figure

Line = tuple[tuple[float, float], tuple[float, float]]

MARKERS = ('o', 's', '^')


@dataclass(frozen=True)
class Point:
    """One choice.

    Attributes:
        label: Beside the point.
        series: Points of one series share a colour.
        precision: Points of one precision share a marker.
        cost: Time or FLOPs, in the unit of the axis.
        num_bytes: Of memory.
        spread: Between which costs it varies, if it does.
    """

    label: str
    series: str
    precision: str
    cost: float
    num_bytes: int
    spread: tuple[float, float] | None = None


def pareto_front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other is better than, by cost: the cheapest one first.

    One is better if it needs less of memory or cost, and not more of the other.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, point.num_bytes)):
        if not front or point.num_bytes < front[-1].num_bytes:
            front.append(point)
    return front


def draw_tradeoff(
    points: Sequence[Point],
    file: Path,
    *,
    cost: str,
    memory: str = 'peak of a training step',
    title: str = '',
    note: str = '',
) -> None:
    """Draw memory against cost.

    Args:
        points: At least one.
        file: To write, ``.png`` or ``.svg``.
        cost: What the x axis shows, with its unit.
        memory: What the y axis shows.
        title: Of the picture.
        note: Below the title.
    """
    from .labels import place_labels

    figure, axes = blank_figure(9, 6)
    unit, size = table_unit(max(point.num_bytes for point in points))
    _draw_front(axes, pareto_front(points), size)
    _draw_points(axes, points, size)
    axes.margins(0.12)
    axes.set(xlabel=cost, ylabel=f'{memory} ({unit})')
    figure.suptitle(title)
    axes.set_title(note, fontsize=9, color='0.4')
    axes.grid(alpha=0.25)
    figure.legend(loc='outside lower center', ncols=4, frameon=False, fontsize=9)
    positions = [(point.cost, point.num_bytes / size) for point in points]
    lines = [*_stairs(pareto_front(points), size), *_spreads(points, size)]
    place_labels(figure, axes, positions, [point.label for point in points], lines)
    save_figure(figure, file, dpi=150)


def _stairs(front: Sequence[Point], size: float) -> list[Line]:
    """Return the lines below and to the left of which lies what no choice reaches."""
    lines: list[Line] = []
    for point, cheaper in zip(front[1:], front[:-1], strict=True):
        high, low = cheaper.num_bytes / size, point.num_bytes / size
        lines.append(((cheaper.cost, high), (point.cost, high)))
        lines.append(((point.cost, high), (point.cost, low)))
    return lines


def _spreads(points: Sequence[Point], size: float) -> list[Line]:
    return [
        ((point.spread[0], point.num_bytes / size), (point.spread[1], point.num_bytes / size))
        for point in points
        if point.spread is not None
    ]


def _draw_front(axes: Any, front: Sequence[Point], size: float) -> None:
    corners = [(front[0].cost, front[0].num_bytes / size)]
    corners += [end for _, end in _stairs(front, size)]
    axes.plot(*zip(*corners, strict=True), '--', color='0.55', linewidth=1, label='Pareto front')


def _draw_points(axes: Any, points: Sequence[Point], size: float) -> None:
    series = list(dict.fromkeys(point.series for point in points))
    precisions = list(dict.fromkeys(point.precision for point in points))
    for point in points:
        colour = f'C{series.index(point.series)}'
        height = point.num_bytes / size
        marker = MARKERS[precisions.index(point.precision) % len(MARKERS)]
        if point.spread is not None:
            axes.plot(point.spread, (height, height), color=colour, alpha=0.35, linewidth=2)
        axes.plot(point.cost, height, marker, color=colour, markersize=8, zorder=3)
    for index, name in enumerate(series):
        axes.plot([], [], 'o', color=f'C{index}', label=name)
    if len(precisions) > 1:
        for marker, precision in zip(MARKERS, precisions, strict=False):
            axes.plot([], [], marker, color='0.4', label=precision)
