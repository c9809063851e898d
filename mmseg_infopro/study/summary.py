"""Rows of a study: every way's mean, spread and differences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from ..report.way import Way, parse_way
from .bed import FILE, PLAN
from .statistics import Interval, bootstrap_interval, paired_interval, verdict

Record = Mapping[str, Any]
NEEDED = (
    'bed',
    'way',
    'seed',
    'code',
    'config',
    'validations',
    'counts',
    'predicted_peak',
    'flops',
)
KINDS: dict[str, type] = dict(
    way=str,
    seed=int,
    code=str,
    config=str,
    validations=list,
    counts=dict,
    options=list,
    timing=dict,
)


@dataclass(frozen=True)
class Row:
    """A way's figures over its seeds.

    Attributes:
        way: The way.
        seeds: Of its runs.
        scores: mIoU after the last iteration, by seed.
        class_ious: Means over the seeds, per cent; NaN where no image has the class.
        peak_share: Predicted peak over E2E's.
        extra_flops: FLOPs over E2E's, less 1.
        time_ratio: Seconds of a step over E2E's, runs beside other ones included.
        by_seeds: Difference to E2E, paired by seed; None of fewer than three pairs.
        by_frames: Difference to E2E over the choice of frames.
        verdict: What both allow to say.
        codes: States of the project that the runs are of.
    """

    way: Way
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    class_ious: tuple[float, ...]
    peak_share: float
    extra_flops: float
    time_ratio: float
    by_seeds: Interval | None
    by_frames: Interval | None
    verdict: str
    codes: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Return the mean mIoU."""
        return mean(self.scores)

    @property
    def deviation(self) -> float | None:
        """Return the standard deviation of mIoU; None of one run."""
        return stdev(self.scores) if len(self.scores) > 1 else None


def read_record(file: Path, needed: Sequence[str] = NEEDED) -> dict[str, Any]:
    """Read the record of one run, which has at least these keys.

    Raises:
        ValueError: It is broken, or no record.
    """
    try:
        record = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f'{file} is not JSON: {error}') from error
    if not isinstance(record, dict):
        raise ValueError(f'{file} is not the record of a run: it holds a {type(record).__name__}')
    missing = [key for key in needed if key not in record]
    if missing:
        raise ValueError(f'{file} is not the record of a run: it lacks {", ".join(missing)}')
    for key, kind in KINDS.items():
        if not isinstance(record.get(key, kind()), kind):
            raise ValueError(
                f'{file} is not the record of a run: {key} must be of type {kind.__name__}, '
                f'got {record[key]!r}'
            )
    return record


def read_records(folder: Path, mixed: bool = False) -> list[dict[str, Any]]:
    """Read a bed's records.

    Args:
        folder: Of the bed.
        mixed: Take runs of several states of the project, or of a way's several configs.

    Raises:
        ValueError: There are none, a file is broken, or they are mixed and may not be.
    """
    records = []
    for file in sorted(folder.glob('*.json')):
        if file.name in (FILE, PLAN):
            continue
        records.append(read_record(file))
    if not records:
        raise ValueError(f'{folder} holds no record of a run')
    for key, what in (('code', 'states of the project'), ('bed', 'beds')):
        found = sorted({record[key] for record in records})
        if len(found) > 1 and not mixed:
            raise ValueError(
                f'{folder} mixes {what}: {", ".join(found)}; --mixed takes them all, marked'
            )
    for group in {_group(record) for record in records}:
        configs = {record['config'] for record in records if _group(record) == group}
        if len(configs) > 1 and not mixed:
            raise ValueError(
                f'the runs of {" ".join(group)} are of {len(configs)} configs; '
                '--mixed takes them all, marked'
            )
    return records


def _group(record: Record) -> tuple[str, ...]:
    """Return of what a record is one run, besides its seed."""
    return tuple(record[key] for key in ('way', 'cap', 'budget') if key in record)


def summarize(records: Sequence[Record], reference: str = 'e2e') -> list[Row]:
    """Return a row of each way, those without local modules first.

    Args:
        records: Of one bed.
        reference: The way that the others are compared with.

    Raises:
        ValueError: It has no run.
    """
    by_way: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record['seed']):
        by_way.setdefault(record['way'], []).append(record)
    if reference not in by_way:
        raise ValueError(f'there is no run of {reference} to compare with; ways: {list(by_way)}')
    base = by_way[reference]
    ways = sorted(by_way, key=lambda word: (parse_way(word).num_modules, word != reference, word))
    return [_row(parse_way(word), by_way[word], base) for word in ways]


def compare(
    ones: Sequence[Record], others: Sequence[Record]
) -> tuple[Interval | None, Interval | None]:
    """Return the differences of two ways over the seeds that both have, and over frames."""
    first, second = ({record['seed']: record for record in runs} for runs in (ones, others))
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None, None
    differences = [score(first[seed]) - score(second[seed]) for seed in seeds]
    frames = bootstrap_interval(
        [_areas(first[seed]) for seed in seeds], [_areas(second[seed]) for seed in seeds]
    )
    return paired_interval(differences), frames


def _row(way: Way, runs: Sequence[Record], base: Sequence[Record]) -> Row:
    is_base = runs is base
    seeds, frames = (None, None) if is_base else compare(runs, base)
    said = '' if is_base or frames is None else verdict(seeds, frames)
    return Row(
        way=way,
        seeds=tuple(run['seed'] for run in runs),
        scores=tuple(map(score, runs)),
        class_ious=tuple(np.nanmean([_class_ious(run) for run in runs], axis=0).tolist()),
        peak_share=runs[0]['predicted_peak'] / base[0]['predicted_peak'],
        extra_flops=runs[0]['flops'] / base[0]['flops'] - 1,
        time_ratio=_seconds(runs) / _seconds(base),
        by_seeds=seeds,
        by_frames=frames,
        verdict=said,
        codes=tuple(sorted({run['code'] for run in runs})),
    )


def score(record: Record) -> float:
    """Return the mIoU after the last iteration, in per cent."""
    return float(record['validations'][-1]['mIoU'])


def _class_ious(record: Record) -> list[float]:
    ious = record['validations'][-1]['class_ious']
    return [float('nan') if iou is None else iou for iou in ious]


def _areas(record: Record) -> tuple[np.ndarray, np.ndarray]:
    counts = record['counts']
    return np.array(counts['intersections'], float), np.array(counts['unions'], float)


def _seconds(records: Sequence[Record]) -> float:
    return mean(record['timing']['seconds_per_step'] for record in records)
