"""The curves and bars of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from ..local.names import losses_by_module
from ..measure.sizes import table_unit
from .figures import blank_figure
from .run_files import RunFiles


@dataclass(frozen=True)
class ModulePart:
    """A local module in the picture of the partition.

    Attributes:
        name: As ``'local_0'``, or ``'tail'``.
        units: Names of its units of the backbone, in order.
        num_parameters: All of its own, local heads included.
        peak: Bytes, the most of the training step while it runs.
    """

    name: str
    units: Sequence[str]
    num_parameters: int
    peak: int


def loss_figure(run: RunFiles) -> Figure:
    """Draw the total loss, and each module's, over the iterations."""
    figure, axes = blank_figure(9, 4)
    iterations = list(run.training)
    totals = {'total': {i: run.training[i]['loss'] for i in iterations}}
    for iteration in iterations:
        for name, value in losses_by_module(run.training[iteration]).items():
            totals.setdefault(name, {})[iteration] = value  # a module may train in some steps only
    for name, values in totals.items():
        width = 2 if name == 'total' else 1.2
        axes.plot(list(values), list(values.values()), label=name, linewidth=width)
    axes.set(xlabel='iteration', ylabel='loss', xlim=(0, max(iterations)))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def score_figure(run: RunFiles) -> Figure:
    """Draw mIoU and pixel accuracy of every validation."""
    figure, axes = blank_figure(9, 3.2)
    for name in ('mIoU', 'aAcc'):
        points = [(i, record[name]) for i, record in run.validations.items() if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), marker='o', markersize=4, label=name)
    axes.set(xlabel='iteration', ylabel='per cent', xlim=(0, 1.05 * max(run.validations)))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


def class_figure(class_ious: Mapping[str, float]) -> Figure:
    """Draw the IoU of each class as a bar, the best first."""
    rows = sorted(class_ious.items(), key=lambda row: row[1])
    figure, axes = blank_figure(9, 0.6 + 0.24 * len(rows))
    axes.barh([name for name, _ in rows], [iou for _, iou in rows], color='tab:blue')
    for position, (_, iou) in enumerate(rows):
        axes.text(iou + 0.5, position, f'{iou:.1f}', va='center', fontsize=8)
    axes.set(xlabel='IoU (%)', xlim=(0, 105))
    return figure


def partition_figure(parts: Sequence[ModulePart]) -> Figure:
    """Draw the network as a row of units, coloured by local module, with what each one needs."""
    figure, axes = blank_figure(9, 1.9)
    unit, size = table_unit(max(part.peak for part in parts))
    colours = [f'C{index % 10}' for index in range(len(parts))]
    at, font = 0, min(8.0, 160 / sum(max(len(part.units), 1) for part in parts))
    for part, colour in zip(parts, colours, strict=True):
        for offset, name in enumerate(part.units):
            axes.barh(0, 0.92, left=at + offset, height=0.5, color=colour)
            where = at + offset + 0.46
            axes.text(where, 0, name, rotation=90, ha='center', va='center', fontsize=font)
        width = max(len(part.units), 1)
        text = f'{part.name}\n{part.num_parameters / 1e6:.2f} M\n{part.peak / size:.2f} {unit}'
        axes.text(at + width / 2, 0.32, text, ha='center', va='bottom', fontsize=8, color=colour)
        at += width
    axes.set(xlim=(0, at), ylim=(-0.3, 1.0))
    axes.set_axis_off()
    return figure
