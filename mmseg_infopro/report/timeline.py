"""A picture of the bytes alive over one training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from ..measure.peaks import DryStep
from ..measure.sizes import table_unit

NUM_POINTS = 2000
"""Along the picture; each shows the most bytes of the operations that fall on it."""


def draw_timelines(steps: Mapping[str, DryStep], file: Path, title: str = '') -> None:
    """Draw the mountain of end-to-end training against the sawtooth of local modules.

    Args:
        steps: By the name that the legend shows; the first one is filled.
        file: To write, ``.png`` or ``.svg``.
        title: Of the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    unit, size = table_unit(max(step.peak.total for step in steps.values()))
    for index, (name, step) in enumerate(steps.items()):
        heights = [num_bytes / size for num_bytes in highest(step.timeline, NUM_POINTS)]
        progress = [100 * (point + 1) / len(heights) for point in range(len(heights))]
        label = f'{name}: {step.peak.total / size:.2f} {unit}'
        (line,) = axes.plot(progress, heights, linewidth=1.4, label=label, zorder=index + 2)
        if index == 0:
            axes.fill_between(progress, heights, color=line.get_color(), alpha=0.12)
    axes.set(
        xlabel='progress of the step (% of its operations)',
        ylabel=f'bytes alive ({unit})',
        xlim=(0, 100),
        title=title,
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(loc='upper right', frameon=False)
    figure.savefig(file, dpi=150)


def highest(values: Sequence[int], num_points: int) -> list[int]:
    """Return the largest value of each of at most ``num_points`` equal parts."""
    count = min(num_points, len(values))
    edges = [round(len(values) * i / count) for i in range(count + 1)] if count else []
    return [max(values[a:b]) for a, b in pairwise(edges)]
