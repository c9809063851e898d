"""A study's pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..report.figures import blank_figure
from .summary import Row


def memory_figure(rows: Sequence[Row]) -> Figure:
    """Draw mIoU against the predicted peak, with end-to-end training's line across."""
    figure, axes = blank_figure(8, 5)
    axes.grid(alpha=0.25)
    _end_to_end_line(axes, rows)
    for index, (series, own) in enumerate(by_series(rows).items()):
        shares = [100 * row.peak_share for row in own]
        axes.errorbar(
            shares,
            [row.mean for row in own],
            yerr=[row.deviation or 0 for row in own],
            label=series,
            **style(index),
        )
        for row, share in zip(own, shares, strict=True):
            if row.way.num_modules > 1:
                axes.annotate(
                    f'K={row.way.num_modules}',
                    (share, row.mean),
                    xytext=(4, 4),
                    textcoords='offset points',
                    fontsize=7,
                )
    axes.set(xlabel="predicted peak (% of end-to-end training's)", ylabel='mIoU (%)')
    axes.legend(frameon=False, fontsize=8, loc='best')
    return figure


def depth_figure(rows: Sequence[Row]) -> Figure:
    """Draw mIoU against K, a line a method."""
    figure, axes = blank_figure(8, 5)
    axes.grid(alpha=0.25)
    _end_to_end_line(axes, rows)
    local = [row for row in rows if row.way.num_modules > 1]
    looks = list(by_series(rows))  # the same in all pictures of these rows
    for series, own in by_series(local).items():
        axes.errorbar(
            [row.way.num_modules for row in own],
            [row.mean for row in own],
            yerr=[row.deviation or 0 for row in own],
            label=series,
            **style(looks.index(series)),
        )
    axes.set(xlabel='local modules K', ylabel='mIoU (%)')
    axes.set_xticks(sorted({row.way.num_modules for row in local}))
    axes.legend(frameon=False, fontsize=8)
    return figure


def class_figure(rows: Sequence[Row], classes: Sequence[str]) -> Figure:
    """Draw every way's IoU of every class, as groups of bars."""
    figure, axes = blank_figure(max(8.0, 0.9 * len(classes)), 5)
    axes.grid(alpha=0.25)
    width = 0.8 / len(rows)
    for index, row in enumerate(rows):
        at = np.arange(len(classes)) - 0.4 + (index + 0.5) * width
        axes.bar(at, row.class_ious, width, label=row.way.word, color=f'C{index % 10}')
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha='right')
    axes.set(ylabel='IoU (%)')
    axes.legend(frameon=False, fontsize=8, ncols=3)
    return figure


def by_series(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each series, by K."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.way.num_modules):
        found.setdefault(row.way.series, []).append(row)
    return found


def _end_to_end_line(axes: Axes, rows: Sequence[Row]) -> None:
    for row in rows:
        if row.way.method == 'e2e':
            axes.axhline(row.mean, color='grey', linestyle='--', linewidth=1, label='E2E, mean')


def style(index: int) -> dict:
    """Return how the index-th series of a picture looks."""
    markers = 'osD^v<>Pp*Xh'
    return dict(
        color=f'C{index % 10}',
        marker=markers[index % len(markers)],
        markersize=5,
        capsize=3,
        linewidth=1,
        elinewidth=0.8,
    )
