"""What a run left in its work dir."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.read import read_config
from ..hooks.stage_clock import STAGE_TIMES

COUNTED = ('step', 'loss', 'time', 'mIoU', 'memory')
CLASS_ROW = re.compile(r'^\|\s*(.+?)\s*\|\s*([\d.]+|nan)\s*\|\s*([\d.]+|nan)\s*\|$')


@dataclass(frozen=True)
class RunFiles:
    """A run, as its files tell of it.

    Attributes:
        work_dir: Of the run.
        cfg: Resolved, as it was dumped.
        training: Records of the log by iteration, those of a resume in place of earlier ones.
        validations: Metrics by iteration.
        class_ious: Per cent by class, of the last evaluation; empty if none was logged.
        pictures: Of the last validation that was drawn.
        checkpoints: Their names.
        stage_times: What each process of a pipeline did, see :func:`write_stage_times`, of the
            last run that noted it; None where none did.
    """

    work_dir: Path
    cfg: Config
    training: dict[int, dict[str, float]]
    validations: dict[int, dict[str, float]]
    class_ious: dict[str, float]
    pictures: tuple[Path, ...]
    checkpoints: tuple[str, ...]
    stage_times: Mapping[str, Any] | None = None


def read_run(work_dir: Path) -> RunFiles:
    """Read what a run left; a run that goes on or was killed is read as far as it got.

    Raises:
        ValueError: It is no work dir, or the run logged nothing yet.
    """
    if not work_dir.is_dir():
        raise ValueError(f'{work_dir} is not a folder: name the work dir of a run')
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    configs = sorted(work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime)
    of_tests = {f'test_{path.name}' for path in configs}  # what evaluations of it have dumped
    configs = [path for path in configs if path.name not in of_tests]
    if not configs:
        raise ValueError(f'{work_dir} holds no config: it is not the work dir of a training run')
    training: dict[int, dict[str, float]] = {}
    validations: dict[int, dict[str, float]] = {}
    for record in (record for log in logs for record in _records(log)):
        step = int(record['step'])
        if 'loss' in record:
            # What a run had logged behind the checkpoint that it went on from is void.
            training = {key: value for key, value in training.items() if key < step}
            validations = {key: value for key, value in validations.items() if key < step}
            training[step] = record
        elif 'mIoU' in record or 'aAcc' in record:
            validations[step] = record
    if not training and not validations:
        raise ValueError(
            f'the run in {work_dir} has logged no iteration yet: it was stopped before the first '
            'log interval (default_hooks.logger.interval), or has just begun'
        )
    return RunFiles(
        work_dir,
        read_config(str(configs[-1])),
        training,
        validations,
        _class_ious(work_dir),
        _last_pictures(work_dir),
        tuple(path.name for path in sorted(work_dir.glob('*.pth'), key=_iteration)),
        _stage_times(work_dir),
    )


def _records(log: Path) -> list[dict[str, Any]]:
    """Return a log's records; the last line of a killed run may be cut off.

    Raises:
        ValueError: A line is a record, and not one of a run.
    """
    records = []
    for line in log.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if not isinstance(record, dict) or 'step' not in record:
            continue
        broken = [key for key in COUNTED if not isinstance(record.get(key, 0), (int, float))]
        if broken:
            raise ValueError(
                f'{log} is not the log of a training run: {broken[0]} must be a number, got '
                f'{record[broken[0]]!r}'
            )
        records.append(record)
    return records


def _class_ious(work_dir: Path) -> dict[str, float]:
    """Return the last table of classes in the logs, which no other file of mmseg's has."""
    for log in sorted(work_dir.glob('*/*.log'), reverse=True):
        _, found, table = log.read_text(errors='replace').rpartition('per class results')
        rows = [CLASS_ROW.match(line) for line in table.splitlines()] if found else []
        # A class that no image holds has none.
        ious = {row[1]: float(row[2]) for row in rows if row and row[2] != 'nan'}
        if ious:
            return ious
    return {}


def _stage_times(work_dir: Path) -> Mapping[str, Any] | None:
    """Return what the last pipeline has noted.

    Raises:
        ValueError: It cannot be read.
    """
    for file in sorted(work_dir.glob(f'*/{STAGE_TIMES}'), reverse=True):
        try:
            found: Mapping[str, Any] = json.loads(file.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f'{file} is not what a run writes: {error}') from error
        return found
    return None


def _last_pictures(work_dir: Path) -> tuple[Path, ...]:
    found = sorted(work_dir.glob('*/vis_data/vis_image/validation_*.png'), key=_iteration)
    return tuple(found[-1:])


def _iteration(file: Path) -> int:
    """Return the number that a file's name ends in."""
    number = file.stem.rpartition('_')[2]
    return int(number) if number.isdigit() else -1
