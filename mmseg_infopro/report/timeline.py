"""A picture of the bytes alive over one training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from ..measure.peaks import DryStep
from ..measure.sizes import table_unit
from .figures import blank_figure, save_figure

MARK = '#444444'
NUM_POINTS = 2000
"""Along the picture; each shows the most bytes of the operations that fall on it."""


def draw_timelines(
    steps: Mapping[str, DryStep], file: Path, title: str = '', cap: int | None = None
) -> None:
    """Draw :func:`timeline_figure` into a ``.png`` or ``.svg``."""
    save_figure(timeline_figure(steps, title, cap), file, dpi=150)


def timeline_figure(
    steps: Mapping[str, DryStep], title: str = '', cap: int | None = None
) -> Figure:
    """Draw the mountain of end-to-end training against the sawtooth of local modules.

    Args:
        steps: By the name that the legend shows; the first one is filled. Marks say where the
            local modules of the last one begin.
        title: Of the picture.
        cap: Bytes that the step was to fit in, for a line across.
    """
    figure, axes = blank_figure(9, 4.5)
    unit, size = table_unit(max(step.peak.total for step in steps.values()))
    for index, (name, step) in enumerate(steps.items()):
        heights = [num_bytes / size for num_bytes in highest(step.timeline, NUM_POINTS)]
        progress = [100 * (point + 1) / len(heights) for point in range(len(heights))]
        label = f'{name}: {step.peak.total / size:.2f} {unit}'
        (line,) = axes.plot(progress, heights, linewidth=1.4, label=label, zorder=index + 2)
        if index == 0:
            axes.fill_between(progress, heights, color=line.get_color(), alpha=0.12)
    marked = list(steps.values())[-1]
    for module, start in module_starts(marked):
        axes.axvline(100 * start, color=MARK, linewidth=0.8, linestyle=':', zorder=1)
        axes.annotate(
            str(module),
            (100 * start, 0),
            xycoords=('data', 'axes fraction'),
            xytext=(3, 3),
            textcoords='offset points',
            fontsize=9,
            color=MARK,
        )
    if cap is not None:
        axes.axhline(
            cap / size, color='firebrick', linewidth=1, label=f'cap: {cap / size:.2f} {unit}'
        )
    axes.set(
        xlabel='progress of the step (% of its operations; numbers: where local modules begin)',
        ylabel=f'bytes alive ({unit})',
        xlim=(0, 100),
        title=title,
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(loc='upper right', framealpha=0.9, edgecolor='none')
    return figure


def module_starts(step: DryStep) -> list[tuple[int, float]]:
    """Return which local module begins where, as a share of the step; none of a single one."""
    labels = step.modules
    starts = [
        (module, position / len(labels))
        for position, module in enumerate(labels)
        if module is not None and (position == 0 or labels[position - 1] != module)
    ]
    found = {module for module, _ in starts}
    return starts if len(found) > 1 else []


def highest(values: Sequence[int], num_points: int) -> list[int]:
    """Return the largest value of each of at most ``num_points`` equal parts."""
    count = min(num_points, len(values))
    edges = [round(len(values) * i / count) for i in range(count + 1)] if count else []
    return [max(values[a:b]) for a, b in pairwise(edges)]
