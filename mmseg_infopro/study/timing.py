"""How long a grid will take, by the runs that were made, or by some steps of each way."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from mmengine.config import Config

from ..config.resolve import resolve
from ..report.timing import time_trials
from ..report.trial import Trial
from ..report.way import Way
from .bed import Run
from .running import Study
from .summary import read_record

ROUNDS, STEPS = 2, 2
"""Turns in which steps are timed, and steps a turn."""


def core_hours(study: Study, runs: Sequence[Run], cfg: Config | None = None) -> float | None:
    """Return what runs will take.

    A way that was run already takes as long again, another one as long as the mean.

    Args:
        study: Which has made some runs, or none.
        runs: Of its bed.
        cfg: The bed's, with all options: where no run was made yet, steps of it are timed.

    Returns:
        None where there is nothing to tell from.
    """
    seconds: dict[str, list[float]] = {}
    for file in study.bed.folder.glob('*-s*.json'):
        record = read_record(file)
        taken = record.get('timing', {}).get('training_seconds')
        if taken is not None:
            seconds.setdefault(record['way'], []).append(taken)
    if not seconds and cfg is not None:
        ways = list(dict.fromkeys(run.way for run in runs))
        steps = time_ways(cfg, study, ways)
        iterations = cfg.train_cfg.max_iters
        seconds = {way.word: [iterations * steps[way]] for way in ways}
    if not seconds:
        return None
    usual = mean(mean(values) for values in seconds.values())
    total = sum(mean(seconds.get(run.way.word, [usual])) for run in runs)
    return total * study.threads / 3600


def time_ways(cfg: Config, study: Study, ways: Sequence[Way]) -> dict[Way, float]:
    """Return the seconds of a training step of each way, timed by turns; loading is left out.

    Raises:
        TypeError: The model cannot be cut.
        ValueError: A way does not fit the model, or its step fails.
    """
    if not ways:
        return {}
    configs = [resolve(way.config(cfg, study.bed.partitions)) for way in ways]
    trials = [Trial(way, 'float32', config) for way, config in zip(ways, configs, strict=True)]
    times = time_trials(trials, ROUNDS, STEPS)
    for way, found in zip(ways, times, strict=True):
        if not found.timed:
            raise ValueError(f'a step of {way.word} failed: {found.failure}')
    return {way: found.seconds() for way, found in zip(ways, times, strict=True)}
