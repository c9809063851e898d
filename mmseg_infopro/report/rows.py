"""The figures of a benchmark: what was predicted and what was measured, each set against E2E's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..measure.peaks import DryStep
from ..measure.step_time import StepTimes
from .pareto import Point
from .trial import Trial

Row = dict[str, Any]


def benchmark_rows(
    trials: Sequence[Trial], steps: Sequence[DryStep | None], times: Sequence[StepTimes] | None
) -> list[Row]:
    """Return the figures of each trial.

    ``share``, ``flops_ratio`` and ``ratio`` are relative to end-to-end training in the same
    precision. What is ``predicted`` comes from dry steps, and is None where there is none;
    ``measured`` is None where nothing was, and its values are None where a trial could not be, for
    the reason in ``failure``.

    Args:
        trials: End-to-end training of each precision is among them.
        steps: Of each trial.
        times: Of each trial, if they were timed.
    """
    rows: list[Row] = []
    for index, (trial, step) in enumerate(zip(trials, steps, strict=True)):
        boundaries = trial.cfg.model.local.get('boundaries') or ()
        rows.append(
            dict(
                name=trial.way.word,
                series=trial.way.series,
                precision=trial.precision,
                num_modules=trial.cfg.model.local.get('num_modules') or len(boundaries) + 1,
                recompute=trial.cfg.model.local.get('recompute', 'none'),
                boundaries=list(boundaries),
                exact=trial.exact,
                summary=trial.summary,
                predicted=None if step is None else _predicted(step),
                not_predicted=trial.no_dry_step,
                measured=None if times is None else _measured(times[index]),
            )
        )
    for row in rows:
        _compare(row, end_to_end(rows, row['precision']))
    return rows


def end_to_end(rows: Sequence[Row], precision: str) -> Row:
    """Return what the rows of a precision are compared with."""
    return next(row for row in rows if (row['name'], row['precision']) == ('e2e', precision))


def full_name(row: Row) -> str:
    """Name a row among those of several precisions."""
    return f'{row["name"]} {row["precision"]}'


def _predicted(step: DryStep) -> dict[str, Any]:
    return dict(
        asdict(step.peak),
        activations=step.peak.activations,
        flops=step.flops,
        host_bytes=step.host_bytes,
    )


def _measured(times: StepTimes) -> dict[str, Any]:
    return dict(
        seconds=times.seconds() if times.timed else None,
        quartiles=times.quartiles() if times.timed else None,
        rounds=times.rounds,
        round_seconds=times.round_seconds(),
        allocated=times.allocated,
        reserved=times.reserved,
        failure=times.failure,
    )


def _compare(row: Row, reference: Row) -> None:
    predicted, other = row['predicted'], reference['predicted']
    if predicted is not None:
        predicted['share'] = predicted['total'] / other['total']
        predicted['flops_ratio'] = predicted['flops'] / other['flops']
    if row['measured'] is not None:
        seconds, base = row['measured']['seconds'], reference['measured']['seconds']
        row['measured']['ratio'] = None if seconds is None or base is None else seconds / base


def measured_memory(rows: Sequence[Row]) -> bool:
    """Say whether there are bytes of a GPU for each row that was timed."""
    timed = [row['measured'] for row in rows if row['measured'] and row['measured']['seconds']]
    return bool(timed) and all(row['allocated'] is not None for row in timed)


def points_to_draw(rows: Sequence[Row]) -> list[Point]:
    """Return memory and cost of each row: seconds where rows were timed, TFLOP where none were.

    The memory is what the GPU measured, where one did, else the prediction. Rows that were to be
    timed and could not be are left out, as are those without prediction.
    """
    on_gpu = measured_memory(rows)
    points = []
    for row in rows:
        measured: Mapping[str, Any] | None = row['measured']
        if row['predicted'] is None or (measured is not None and measured['seconds'] is None):
            continue
        points.append(
            Point(
                label=row['name'],
                series=row['series'],
                precision=row['precision'],
                cost=measured['seconds'] if measured else row['predicted']['flops'] / 1e12,
                num_bytes=measured['allocated']
                if measured and on_gpu
                else row['predicted']['total'],
                spread=measured['quartiles'] if measured else None,
            )
        )
    return points
