"""Runs several trainings at once, each as a user would start it."""

from __future__ import annotations

import json
import os
import site
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmseg_infopro
from infopro.naming import new_process

from ..files.whole import write_whole
from .bed import Bed, Run
from .child import ends_with_parent
from .record import COUNTS, code_state, make_record, what_trains
from .summary import read_record

CAPS = 'caps'
"""Folder of the records of runs under a cap, in that of their bed."""
SOURCE = Path(mmseg_infopro.__file__).parents[1]
"""Where the package lies that trains."""
POLL_SECONDS = 2.0


class OtherOptionsError(ValueError):
    """Says that a record is of a run with other options."""


@dataclass(frozen=True)
class Study:
    """Where the runs of a bed are made, and how.

    Attributes:
        bed: What they share.
        work_dirs: Folder for the runs' own folders.
        options: ``--cfg-options`` beside the bed's, as ``key=value``.
        threads: Of each run.
        pictures: Validation images that each run draws.
    """

    bed: Bed
    work_dirs: Path
    options: Sequence[str] = ()
    threads: int = 1
    pictures: int = 0

    def record_file(self, run: Run) -> Path:
        """Return where a run's record lies."""
        return self.bed.folder / (CAPS if run.cap else '') / f'{run.name}.json'

    def work_dir(self, run: Run) -> Path:
        """Return a run's folder."""
        return self.work_dirs / self.bed.name / run.name

    def all_options(self) -> list[str]:
        """Return the ``--cfg-options`` of every run: the bed's, then those of the command line."""
        return [f'{key}={value}' for key, value in self.bed.options.items()] + [*self.options]

    def is_finished(self, run: Run) -> bool:
        """Whether a run's record is there.

        Raises:
            OtherOptionsError: It is of a run with other options.
        """
        file = self.record_file(run)
        if not file.is_file():
            return False
        made, wanted = read_record(file, ['options'])['options'], what_trains(self.all_options())
        if made != wanted:
            differ = sorted({*made} ^ {*wanted})
            raise OtherOptionsError(
                f'{file} is the record of a run with other options, which differ in '
                f'{", ".join(differ)}: use another bed, or move the record away'
            )
        return True

    def command(self, run: Run) -> list[str]:
        """Return the command line of a run; one that was begun goes on from its checkpoint."""
        work_dir = self.work_dir(run)
        way = [] if run.config else run.way.arguments(self.bed.partitions)
        of_way = way[way.index('--cfg-options') + 1 :] if '--cfg-options' in way else []
        way = way[: way.index('--cfg-options')] if '--cfg-options' in way else way
        options = [] if run.config else self.all_options()
        options += [
            f'randomness.seed={run.seed}',
            'val_evaluator.type=ImageCountsMetric',
            f'val_evaluator.counts_dir={work_dir / COUNTS}',
            *of_way,
        ]
        way += ['--pictures', str(self.pictures)] if self.pictures else []
        resume = ['--resume'] if any(work_dir.glob('iter_*.pth')) else []
        command = [*new_process('train'), run.config or self.bed.config, *way]
        return [*command, '--work-dir', str(work_dir), *resume, '--cfg-options', *options]


def run_all(
    study: Study,
    runs: Sequence[Run],
    jobs: int,
    tell: Callable[[str], None],
    advance: Callable[[Run, float], None] = lambda run, share: None,
) -> list[Run]:
    """Make the runs that have no record yet, ``jobs`` at a time; return those that failed.

    A run's record is written whole as soon as it ends. When this is interrupted the runs stop too,
    and go on from their last checkpoints the next time.

    Args:
        study: Where and how.
        runs: In this order.
        jobs: How many at a time.
        tell: Gets a sentence for each run that ends.
        advance: Gets the share of a run that is done, now and then.
    """
    waiting = [run for run in runs if not study.is_finished(run)]
    running: dict[Run, subprocess.Popen] = {}
    failed: list[Run] = []
    code = code_state(SOURCE)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                running[run] = _start(study, run)
            time.sleep(POLL_SECONDS)
            for run, process in list(running.items()):
                advance(run, _share(study, run))
                if process.poll() is None:
                    continue
                del running[run]
                try:
                    if process.returncode != 0:
                        raise ValueError(last_line(study.work_dir(run)))
                    record = make_record(
                        study.bed, run, study.work_dir(run), code, study.all_options()
                    )
                    write_record(study.record_file(run), record)
                except (OSError, ValueError) as error:  # the others go on
                    failed.append(run)
                    tell(f'{run.name} failed: {error}')
                else:
                    tell(f'{run.name}: mIoU {record["validations"][-1]["mIoU"]:.2f}')
                advance(run, 1.0)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    return failed


def write_record(file: Path, record: dict[str, Any]) -> None:
    """Write a record whole, one block a line."""
    lines = [f'"{key}":{json.dumps(value, separators=(",", ":"))}' for key, value in record.items()]
    write_whole(file, '{' + ',\n'.join(lines) + '}\n')


def last_line(work_dir: Path) -> str:
    """Return the last line that a run wrote."""
    output = work_dir / 'output.txt'
    lines = output.read_text(errors='replace').split('\n') if output.is_file() else []
    return next((line for line in reversed(lines) if line.strip()), 'it wrote nothing')


def _start(study: Study, run: Run) -> subprocess.Popen:
    work_dir = study.work_dir(run)
    work_dir.mkdir(parents=True, exist_ok=True)
    threads = {'OMP_NUM_THREADS': str(study.threads), 'MKL_NUM_THREADS': str(study.threads)}
    with open(work_dir / 'output.txt', 'ab') as output:
        return subprocess.Popen(
            ['nice', '-n', '10', *study.command(run)],
            env={**os.environ, **threads, **_import_path()},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C stops the study, and that its runs
            preexec_fn=ends_with_parent(),
        )


def _import_path() -> dict[str, str]:
    """Let a run import the package from where this process has it, if that is a checkout."""
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    return {} if str(SOURCE) in installed else {'PYTHONPATH': str(SOURCE)}


def _share(study: Study, run: Run) -> float:
    """Return how much of a run is done, by its log."""
    logs = sorted(study.work_dir(run).glob('*/vis_data/scalars.json'))
    for log in reversed(logs):
        lines = [line for line in log.read_text().splitlines() if '"step"' in line]
        if lines:
            try:
                return min(1.0, json.loads(lines[-1])['step'] / iterations(study, run))
            except (json.JSONDecodeError, KeyError):
                return 0.0
    return 0.0


def iterations(study: Study, run: Run) -> int:
    """Return how many iterations a run has, by the config that it was begun with."""
    from mmengine.config import Config

    dumped = sorted(study.work_dir(run).glob('*.py'))
    return int(Config.fromfile(dumped[-1]).train_cfg.max_iters) if dumped else 1
