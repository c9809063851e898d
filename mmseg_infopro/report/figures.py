"""Pictures: begun in one way, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files.whole import whole_file


def blank_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes; it needs no screen.

    Args:
        width: Inches.
        height: Inches.
    """
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def save_figure(figure: Figure, file: Path, dpi: int) -> None:
    """Write a figure in the format of the file's suffix."""
    with whole_file(file) as partial:
        figure.savefig(partial, dpi=dpi, format=file.suffix.removeprefix('.') or None)
