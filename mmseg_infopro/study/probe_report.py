"""Tables and pictures of what units know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from .probe import Knowledge, largest_fall

TITLES = dict(
    linear='linear classifier: mIoU (%)',
    small='two-layer head: mIoU (%)',
    image='of the image (%)',
)


@dataclass(frozen=True)
class ProbedCheckpoint:
    """A checkpoint's figures.

    Attributes:
        name: For the legend.
        knowledge: By unit, in order.
        own: mIoU of its own heads, per cent.
    """

    name: str
    knowledge: Sequence[Knowledge]
    own: Mapping[str, float]


def probe_table(probed: ProbedCheckpoint) -> Table:
    """Return a row a unit, and what the network's own heads reach."""
    own = ', '.join(f'{name} {miou:.1f}' for name, miou in probed.own.items())
    table = Table(title=probed.name, caption=f'mIoU of its own heads: {own}')
    for column in ('after', 'linear, mIoU', 'two layers, mIoU', '1 - BCE', 'of the image'):
        table.add_column(column, justify='left' if column == 'after' else 'right')
    for point in probed.knowledge:
        table.add_row(
            point.boundary,
            f'{point.linear:.1f}',
            f'{point.small:.1f}',
            f'{point.rebuilt:.3f}',
            f'{point.image:.1%}',
        )
    return table


def probe_sentence(probed: ProbedCheckpoint) -> str:
    """Say where information is lost."""
    fall = largest_fall(probed.knowledge)
    return f'{probed.name}: {fall or "no unit loses what a two-layer head could use before it"}'


def probe_figure(probed: Sequence[ProbedCheckpoint]) -> Figure:
    """Draw the figures over the units, one line a checkpoint."""
    figure = Figure(figsize=(12, 4.2), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(TITLES))
    longest = max(probed, key=lambda one: len(one.knowledge))
    names = [point.boundary for point in longest.knowledge]
    for axis, (key, title) in zip(axes, TITLES.items(), strict=True):
        for index, one in enumerate(probed):
            known = [point for point in one.knowledge if point.boundary in names]
            scale = 100 if key == 'image' else 1
            axis.plot(
                [names.index(point.boundary) for point in known],
                [scale * getattr(point, key) for point in known],
                marker='osD^v<>P'[index % 8],
                markersize=4,
                label=one.name,
            )
        axis.set_xticks(range(len(names)), names, rotation=60, ha='right', fontsize=7)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.25)
    axes[0].legend(frameon=False, fontsize=8)
    return figure
