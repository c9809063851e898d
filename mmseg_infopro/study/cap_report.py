"""Who wins under which memory cap: rows, a table, sentences and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import numpy as np
from matplotlib.figure import Figure

from ..measure.sizes import format_bytes
from ..report.figures import blank_figure
from ..report.way import Way, parse_way
from .cap_plan import Planned
from .cap_schedule import SAME_IMAGES, SAME_TIME
from .figures import style
from .statistics import Interval, verdict
from .summary import Record, compare, score
from .tables import describe

HEADERS = (
    'cap', 'same', 'way', 'batch', 'crop', 'peak', 'step time', 'iterations', 'lr', 'mIoU', 'n',
    'to E2E, over seeds (t)', 'to E2E, over frames (bootstrap)', 'says',
)  # fmt: skip


@dataclass(frozen=True)
class CapRow:
    """A way under a cap.

    Attributes:
        planned: Its step.
        budget: What its runs have in common with the others: images or time.
        runs: Their records; none where no step fits, or none was made yet.
        by_seeds: Difference to E2E under the same cap, paired by seed; None of fewer than three.
        by_frames: Likewise, over the choice of frames; None without runs of both.
    """

    planned: Planned
    budget: str
    runs: tuple[Record, ...]
    by_seeds: Interval | None
    by_frames: Interval | None

    @property
    def way(self) -> Way:
        """Return the way."""
        return parse_way(self.planned.way)

    @property
    def mean(self) -> float:
        """Return the mean mIoU of its runs; there must be some."""
        return mean(map(score, self.runs))

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation of mIoU; None of one run."""
        return stdev(map(score, self.runs)) if len(self.runs) > 1 else None


def cap_rows(plan: Sequence[Planned], records: Sequence[Record]) -> list[CapRow]:
    """Return a row of each planned way under each cap, the largest cap first.

    Time is shared under those caps only of which there are such runs.
    """
    caps = {entry.cap: entry.cap_bytes for entry in plan}
    rows = []
    for cap in sorted(caps, key=lambda cap: -caps[cap]):
        own = [record for record in records if record['cap'] == cap]
        budgets = [SAME_IMAGES]
        budgets += [SAME_TIME] if any(record['budget'] == SAME_TIME for record in own) else []
        for budget in budgets:
            runs = [record for record in own if record['budget'] == budget]
            base = [record for record in runs if record['way'] == 'e2e']
            rows += [_row(e, budget, runs, base) for e in plan if e.cap == cap]
    return rows


def _row(entry: Planned, budget: str, records: Sequence[Record], base: Sequence[Record]) -> CapRow:
    runs = tuple(record for record in records if record['way'] == entry.way)
    differs = bool(runs and base) and entry.way != 'e2e'
    seeds, frames = compare(runs, base) if differs else (None, None)
    return CapRow(entry, budget, runs, seeds, frames)


def cap_table(rows: Sequence[CapRow]) -> str:
    """Return the rows as a Markdown table, and below it who wins under each cap."""
    lines = ['| ' + ' | '.join(HEADERS) + ' |', '|' + '---|' * len(HEADERS)]
    lines += ['| ' + ' | '.join(_cells(row)) + ' |' for row in rows]
    lines += ['', *(f'- {sentence}' for sentence in winners(rows))]
    codes = sorted({run['code'] for row in rows for run in row.runs})
    if len(codes) > 1:
        lines += ['', f'Of several states of the project: {", ".join(codes)}.']
    return '\n'.join(lines) + '\n'


def _cells(row: CapRow) -> list[str]:
    entry = row.planned
    crop = '{}x{}'.format(*entry.crop)
    cells = [f'{entry.cap} ({format_bytes(entry.cap_bytes)})', row.budget, row.way.word]
    if not entry.fits:
        return [*cells, *[''] * (len(HEADERS) - 4), f'does not fit: {_smallest(entry)}']
    cells += [str(entry.batch), crop, f'{entry.share:.1%}', _ratio(entry.time_ratio)]
    if not row.runs:
        return [*cells, *[''] * (len(HEADERS) - 8), 'not trained yet']
    said = '' if row.by_frames is None else verdict(row.by_seeds, row.by_frames)
    spread = '' if row.deviation is None else f' ± {row.deviation:.2f}'
    return [
        *cells,
        str(row.runs[0]['iterations']),
        f'{row.runs[0]["lr"]:g}',
        f'{row.mean:.2f}{spread}',
        str(len(row.runs)),
        describe(row.by_seeds),
        describe(row.by_frames),
        said,
    ]


def _smallest(entry: Planned) -> str:
    crop = '{}x{}'.format(*entry.crop)
    return f'batch {entry.batch} of {crop} needs {format_bytes(entry.peak)} ({entry.share:.1%})'


def _ratio(ratio: float | None) -> str:
    return '' if ratio is None else f'{ratio:.2f}'


def winners(rows: Sequence[CapRow]) -> Iterable[str]:
    """Say of each cap which way has the highest mean, and what that allows to claim."""
    groups: dict[tuple[str, str], list[CapRow]] = {}
    for row in rows:
        if row.runs:
            groups.setdefault((row.planned.cap, row.budget), []).append(row)
    for (cap, budget), own in groups.items():
        where = f'{cap}, same {budget}'
        if len(own) == 1:
            yield f'{where}: {own[0].way.word} is the only way that was trained.'
            continue
        first, second = sorted(own, key=lambda row: -row.mean)[:2]
        seeds, frames = compare(first.runs, second.runs)
        ahead = f'{first.way.word} has the highest mean, {first.mean:.2f}, {second.way.word} next'
        if frames is None:
            yield f'{where}: {ahead} with {second.mean:.2f}; they share no seed.'
            continue
        said = verdict(seeds, frames)
        claim = 'it wins' if said == 'better' else said
        yield f'{where}: {ahead}: {describe(seeds or frames)}; {claim}.'


def cap_figure(rows: Sequence[CapRow]) -> Figure:
    """Draw every way's mIoU under every cap, a mark a way; a bar is one standard deviation."""
    trained = [row for row in rows if row.runs]
    groups = list(dict.fromkeys((row.planned.cap, row.budget) for row in trained))
    names = list(dict.fromkeys(row.way.word for row in trained))
    figure, axes = blank_figure(max(7.0, 2.2 * len(groups)), 4.5)
    for index, name in enumerate(names):
        own = [row for row in trained if row.way.word == name]
        spots = np.array([groups.index((row.planned.cap, row.budget)) for row in own])
        axes.errorbar(
            spots - 0.3 + 0.6 * (index + 0.5) / len(names),
            [row.mean for row in own],
            yerr=[row.deviation or 0 for row in own],
            label=name,
            linestyle='none',
            **style(index),
        )
    of_peak = [f"{cap} of E2E's peak" if '%' in cap else cap for cap, _ in groups]
    labels = [f'{cap}\nsame {kind}' for cap, (_, kind) in zip(of_peak, groups, strict=True)]
    axes.set_xticks(range(len(groups)), labels)
    axes.set(ylabel='mIoU (%)', xlim=(-0.5, len(groups) - 0.5))
    axes.grid(axis='y', alpha=0.25)
    figure.legend(frameon=False, fontsize=8, loc='outside upper center', ncols=4)
    return figure
