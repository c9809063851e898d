"""A picture of what each process of a pipeline did when: compute, send, wait."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..figures import blank_figure, save_figure
from .turns import Turn

COLOURS = {'compute': 'C0', 'send': 'C1', 'wait': '0.8'}
Bars = dict[str, list[tuple[float, float]]]
"""By kind, begin and length of what was done."""


def draw_trace(turns: Sequence[Turn], file: Path, title: str) -> None:
    """Draw the steps of a pipeline that count.

    Args:
        turns: One of each process.
        file: To write, ``.png``, ``.svg`` or ``.pdf``.
        title: Of the picture.
    """
    figure, axes = blank_figure(9, 1.2 + 0.6 * len(turns))
    origin = min(turn.begins[0] for turn in turns)
    for rank, turn in enumerate(turns):
        for kind, bars in bars_of(turn).items():
            shifted = [(begin - origin, length) for begin, length in bars]
            label = kind if rank == 0 else None
            axes.broken_barh(shifted, (rank - 0.4, 0.8), facecolors=COLOURS[kind], label=label)
        for begin in turn.begins:
            axes.plot([begin - origin] * 2, [rank - 0.4, rank + 0.4], color='white', linewidth=0.8)
    names = [f'process {rank}' for rank in range(len(turns))]
    axes.set_yticks(range(len(turns)), names)
    axes.invert_yaxis()
    axes.set(xlabel='seconds', title=title)
    figure.legend(loc='outside lower center', ncols=len(COLOURS), frameon=False)
    save_figure(figure, file, dpi=150)


def bars_of(turn: Turn) -> Bars:
    """Return what a process did in the steps that count: it computes when it does nothing else."""
    bars: Bars = {kind: [] for kind in COLOURS}
    for begin, end in zip(turn.begins, turn.ends, strict=True):
        now = begin
        for kind, start, stop in turn.events:
            if begin <= start and stop <= end:
                bars['compute'].append((now, start - now))
                bars[kind].append((start, stop - start))
                now = stop
        bars['compute'].append((now, end - now))
    return bars


def time_shares(turn: Turn) -> dict[str, float]:
    """Return which share of its time a process spent on each kind."""
    bars = bars_of(turn)
    total = sum(length for parts in bars.values() for _, length in parts)
    return {kind: sum(length for _, length in parts) / total for kind, parts in bars.items()}
