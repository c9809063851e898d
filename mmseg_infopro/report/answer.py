"""The answer to "what fits?", in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure.sizes import format_bytes
from .fit_row import Cap, Row
from .recommending import recommended


def recommended_row(rows: Sequence[Row], cap: Cap) -> Row | None:
    """Return the recommended way, the first row being end-to-end training; None if nothing fits."""
    ways = [row.candidate for row in rows]
    chosen = recommended(ways, ways[0], cap.tensors)
    return None if chosen is None else rows[chosen]


def fewer_to_try(rows: Sequence[Row], cap: Cap) -> range:
    """Return the numbers of modules between the most that do not fit and the fewest that do.

    Args:
        rows: Of numbers of modules with gaps between them; the first is end-to-end training.
        cap: That they were fitted to.

    Returns:
        Nothing where no local modules are recommended.
    """
    chosen = recommended_row(rows, cap)
    if chosen is None or chosen.num_modules == 1:
        return range(0)
    fewest = min(row.num_modules for row in rows if row.fits and row.num_modules > 1)
    most = max((row.num_modules for row in rows if row.num_modules < fewest), default=1)
    return range(most + 1, fewest)


def answer(rows: Sequence[Row], cap: Cap) -> str:
    """Return the sentence that a table of rows comes to, end-to-end training being the first."""
    end_to_end, chosen = rows[0], recommended_row(rows, cap)
    if chosen is None:
        least = min(rows, key=lambda row: row.step.peak.total)
        fitting = max(rows, key=lambda row: row.batch)
        other = f'batch {fitting.batch} fits with {fitting.way.word}' if fitting.batch else ''
        return (
            f'Nothing fits {format_bytes(cap.tensors)}: the smallest peak found is '
            f'{format_bytes(least.step.peak.total)}, with {least.way.word}; '
            f'{other or "take a smaller crop or another network"}.'
        )
    needs = f'{format_bytes(chosen.step.peak.total)} of {format_bytes(cap.tensors)}'
    if chosen is end_to_end:
        return f'Use {chosen.way.word}: {needs}; it fits up to batch {chosen.batch}.'
    more = chosen.step.flops / end_to_end.step.flops - 1
    other = f'with batch {end_to_end.batch}' if end_to_end.batch else 'with no batch'
    return f'Use {chosen.way.word}: {needs}, {more:+.1%} FLOPs; {end_to_end.way.word} fits {other}.'
