"""How long a grid will take, by the runs that were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import mean

from .bed import Run
from .running import Study


def core_hours(study: Study, runs: Sequence[Run]) -> float | None:
    """Return what runs will take; None where the bed has no record yet to tell from.

    A way that was run already takes as long again, another one as long as the mean.
    """
    seconds: dict[str, list[float]] = {}
    for file in study.bed.folder.glob('*-s*.json'):
        record = json.loads(file.read_text())
        seconds.setdefault(record['way'], []).append(record['timing']['training_seconds'])
    if not seconds:
        return None
    usual = mean(mean(values) for values in seconds.values())
    total = sum(mean(seconds.get(run.way.word, [usual])) for run in runs)
    return total * study.threads / 3600
