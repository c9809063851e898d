"""A bed: one config, one data set, one schedule, and the partitions that ways are compared at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..report.way import Way

FILE = 'bed.json'
EXAMPLE = '{"config": "a.py", "partitions": {"2": ["layer2.0"]}, "options": {}}'
PLAN = 'plan.json'
"""What was planned for runs under caps, beside their records."""


@dataclass(frozen=True)
class Bed:
    """What all runs of a study share.

    Attributes:
        folder: Where the bed's file and the records of its runs lie.
        config: The config file, end to end.
        partitions: Boundaries by K, as text.
        options: ``--cfg-options`` of every run.
    """

    folder: Path
    config: str
    partitions: Mapping[str, Sequence[str]]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return what the bed is called: its folder's name."""
        return self.folder.resolve().name


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes:
        way: How it trains.
        seed: Of everything random.
        cap: Of its memory, where it has one.
        budget: What it has in common with the others under a cap: ``'images'`` or ``'time'``.
        config: A config of its own, in place of the bed's with the way's arguments.
    """

    way: Way
    seed: int
    cap: str | None = None
    budget: str = ''
    config: str | None = None

    @property
    def stem(self) -> str:
        """Return what the files of all seeds are called."""
        word = self.way.word.replace('/', '-').replace(':', '-k')
        return f'{word}-cap{self.cap.replace("%", "")}-{self.budget}' if self.cap else word

    @property
    def name(self) -> str:
        """Return the name of its files."""
        return f'{self.stem}-s{self.seed}'


def read_bed(folder: Path) -> Bed:
    """Read a bed's file.

    Raises:
        ValueError: There is none, or it does not say what it should.
    """
    file = folder / FILE
    if not file.is_file():
        raise ValueError(f'{folder} is not a bed: it holds no {FILE}')
    try:
        content = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{file} is not JSON: {error}') from error
    if not isinstance(content, Mapping):
        raise ValueError(f'{file} must hold an object, as {EXAMPLE}, got {content!r}')
    unknown = content.keys() - {'config', 'partitions', 'options'}
    if unknown or not {'config', 'partitions'} <= content.keys():
        raise ValueError(
            f'{file} must have config, partitions and perhaps options, got {", ".join(content)}'
        )
    cuts = content['partitions']
    if not isinstance(content['config'], str) or not isinstance(content.get('options', {}), dict):
        raise ValueError(f'{file}: config must be a file and options an object, as {EXAMPLE}')
    if not isinstance(cuts, dict) or not all(_is_cut(*item) for item in cuts.items()):
        raise ValueError(
            f'{file}: partitions must have K - 1 boundaries for each K, as {EXAMPLE}, got {cuts!r}'
        )
    config = (folder / content['config']).resolve()
    if not config.is_file():
        raise ValueError(f'{file}: there is no config {config}')
    return Bed(folder, str(config), content['partitions'], content.get('options', {}))


def _is_cut(count: str, boundaries: Any) -> bool:
    is_list = isinstance(boundaries, list) and all(isinstance(name, str) for name in boundaries)
    return is_list and count.isdigit() and int(count) == len(boundaries) + 1


def plan_runs(bed: Bed, ways: Sequence[Way], seeds: Sequence[int]) -> list[Run]:
    """Return the runs of a grid, all ways of a seed before the next seed.

    Raises:
        ValueError: A way has no partition in this bed, or the grid says something twice.
    """
    runs = [Run(way, seed) for seed in seeds for way in ways]
    for way in ways:
        way.arguments(bed.partitions)
    twice = {run.name for run in runs if runs.count(run) > 1}
    if twice:
        raise ValueError(f'the grid names {", ".join(sorted(twice))} twice')
    return runs
