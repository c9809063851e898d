"""Pictures that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from ..files.whole import whole_file


def save_figure(figure: Figure, file: Path, dpi: int) -> None:
    """Write a figure in the format of the file's suffix."""
    with whole_file(file) as partial:
        figure.savefig(partial, dpi=dpi, format=file.suffix.removeprefix('.') or None)
