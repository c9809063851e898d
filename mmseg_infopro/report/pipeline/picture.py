"""A picture of a simulation: throughput and memory against the number of devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ...measure.sizes import table_unit
from ..figures import save_figure
from .scale import ONE_EACH, ScaleRow

MARKERS = ('o', 's', '^', 'v', 'D', 'P')
COLOURS = {'data parallel': '0.3', 'GPipe': 'C2', '1F1B': 'C3', ONE_EACH: 'C0'}


def draw_scale(rows: Sequence[ScaleRow], file: Path, title: str) -> None:
    """Draw how training scales, one panel for each link, and the memory of a device.

    Args:
        rows: Of all links, schemes and numbers of devices.
        file: To write, ``.png``, ``.svg`` or ``.pdf``.
        title: Of the picture.
    """
    counts = sorted({row.num_devices for row in rows})
    links = list(dict.fromkeys(row.link.name for row in rows))
    figure = Figure(figsize=(3.2 * (len(links) + 1), 3.8), layout='constrained')
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(links) + 1)
    for axes, link in zip(panels, links, strict=False):
        _lines(axes, [row for row in rows if row.link.name == link], _speedup)
        axes.plot(counts, counts, ':', color='0.6', linewidth=1, label='one more, one faster')
        axes.set(title=link, ylabel='speedup over one device' if link == links[0] else '')
    unit, size = table_unit(max(row.outcome.largest_peak for row in rows))
    of_one_link = [row for row in rows if row.link.name == links[0]]
    _lines(panels[-1], of_one_link, lambda row: row.outcome.largest_peak / size)
    panels[-1].set(title='memory', ylabel=f'{unit} on the fullest device', yscale='log')
    for axes in panels:
        axes.set_xscale('log', base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_xlabel('devices')
        axes.grid(alpha=0.25)
    for axes in panels[:-1]:
        axes.set_yscale('log', base=2)
        axes.set_ylim(bottom=0.7)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=4, frameon=False)
    figure.suptitle(title)
    save_figure(figure, file, dpi=150)


def _speedup(row: ScaleRow) -> float:
    return row.speedup


def _lines(axes: Any, rows: Sequence[ScaleRow], height: Any) -> None:
    for index, series in enumerate(dict.fromkeys(row.series for row in rows)):
        own = [row for row in rows if row.series == series]
        counts = [row.num_devices for row in own]
        axes.plot(
            counts,
            [height(row) for row in own],
            color=COLOURS.get(series, f'C{index + 3}'),
            marker=MARKERS[index % len(MARKERS)],
            label=series,
        )
