"""What a finished run leaves: one small JSON."""

from __future__ import annotations

import hashlib
import json
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from .. import __version__
from ..config.build import is_local
from ..config.step import dry_config_step, step_shape
from ..report.run_files import RunFiles, read_run
from .bed import Bed, Run

COUNTS = 'counts'
"""Folder in a run's work dir with what :class:`ImageCountsMetric` writes."""
NOT_COMPARED = ('work_dir', 'load_from', 'resume', 'launcher', 'seed', 'randomness')
"""Keys of a config that its digest leaves out."""
PLACES = ('data_root', 'counts_dir', 'num_workers', 'persistent_workers')
"""Keys, wherever they stand, that say where data lies and who loads it."""


def what_trains(options: Sequence[str]) -> list[str]:
    """Return those of some ``--cfg-options`` that change what is trained, in order."""
    return sorted(
        option
        for option in options
        if option.partition('=')[0].rpartition('.')[2] not in (*PLACES, *NOT_COMPARED)
    )


def make_record(
    bed: Bed, run: Run, work_dir: Path, code: str, options: Sequence[str]
) -> dict[str, Any]:
    """Return a finished run's record; but for ``timing`` and ``machine`` a seed determines it.

    Args:
        bed: Of the study.
        run: Of the bed.
        work_dir: Of the run.
        code: Of which state of the project it is, see :func:`code_state`.
        options: That the run was given, the bed's included.

    Raises:
        ValueError: The run left no counts of its last validation.
    """
    files = read_run(work_dir)
    cfg = files.cfg
    step = dry_config_step(cfg)
    shape = step_shape(cfg)
    last = _iterations(cfg)
    counts = work_dir / COUNTS / f'counts_{last}.json'
    if not counts.is_file():
        raise ValueError(f'{work_dir}: the validation after iteration {last} left no {counts.name}')
    return dict(
        bed=bed.name,
        way=run.way.word,
        seed=run.seed,
        **_under_cap(run, cfg),
        code=code,
        config=digest(cfg),
        options=what_trains(options),
        boundaries=list(cfg.model.local.boundaries) if is_local(cfg.model) else [],
        iterations=last,
        batch_size=shape.batch_size,
        crop=list(shape.crop),
        predicted_peak=step.peak.total,
        flops=step.flops,
        validations=_validations(work_dir / COUNTS),
        counts=json.loads(counts.read_text()),
        timing=_timing(files),
        machine=describe_machine(),
    )


def _under_cap(run: Run, cfg: Config) -> dict[str, Any]:
    if run.cap is None:
        return {}
    return dict(cap=run.cap, budget=run.budget, lr=cfg.optim_wrapper.optimizer.lr)


def digest(cfg: Config) -> str:
    """Return a digest of what a config trains; where its files lie and its seed play no part."""
    content = cfg.to_dict()
    kept = {key: value for key, value in content.items() if key not in NOT_COMPARED}
    text = json.dumps(_without_places(kept), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_places(item) for key, item in value.items() if key not in PLACES}
    if isinstance(value, (list, tuple)):
        return [_without_places(item) for item in value]
    return value


def code_state(root: Path) -> str:
    """Return which state of the project stands in a folder.

    In a checkout that is its commit, with ``+`` behind it where files were changed; of an installed
    package it is the version.
    """
    try:
        _git(root, 'ls-files', '--error-unmatch', 'mmseg_infopro/__init__.py')
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, or one of others
        return f'version {__version__}'
    commit = _git(root, 'rev-parse', '--short=12', 'HEAD')
    changed = _git(root, 'status', '--porcelain', '--untracked-files=no')
    return commit + ('+' if changed else '')


def _git(root: Path, *arguments: str) -> str:
    command = ['git', '-C', str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def describe_machine() -> dict[str, Any]:
    """Return on what a run was made."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return dict(
        device=device,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        python=platform.python_version(),
    )


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def _iterations(cfg: Config) -> int:
    return int(cfg.train_cfg.max_iters)


def _validations(folder: Path) -> list[dict[str, Any]]:
    """Return mIoU and every class's IoU, in per cent, by iteration."""
    files = sorted(folder.glob('counts_*.json'), key=lambda file: int(file.stem.partition('_')[2]))
    return [
        dict(
            iteration=int(file.stem.partition('_')[2]),
            mIoU=sum(known) / len(known),
            class_ious=ious,
        )
        for file in files
        for ious in [class_ious(json.loads(file.read_text()))]
        for known in [[iou for iou in ious if iou is not None]]
    ]


def class_ious(counts: Mapping[str, Any]) -> list[float | None]:
    """Return each class's IoU over all images in per cent; None where neither side has it."""
    sums = [
        [sum(pixels) for pixels in zip(*counts[name], strict=True)]
        for name in ('intersections', 'unions')
    ]
    return [
        100 * intersection / union if union else None
        for intersection, union in zip(*sums, strict=True)
    ]


def _timing(files: RunFiles) -> dict[str, float]:
    steps = [record['time'] - record.get('data_time', 0.0) for record in files.training.values()]
    whole = [record['time'] for record in files.training.values()]
    memory = [record['memory'] for record in files.training.values() if 'memory' in record]
    timing = dict(
        seconds_per_step=statistics.median(steps),
        seconds_per_iteration=statistics.median(whole),
        training_seconds=statistics.mean(whole) * max(files.training),
    )
    return timing | (dict(measured_peak=max(memory) * 2**20) if memory else {})
