"""Which checkpoint of a work directory a resume goes on from: the newest whole one."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from ..config.walk import type_name
from ..parallel import continues_training, on_main_process
from .checkpoints import check_checkpoint

TEMPLATES = ('iter_{}.pth', 'epoch_{}.pth')


def checkpoint_hooks(cfg: Config) -> list[Mapping[str, Any]]:
    """Return the configs of a config's hooks that save checkpoints."""
    default = (cfg.get('default_hooks') or {}).get('checkpoint')
    hooks = [default, *(cfg.get('custom_hooks') or [])]
    return [
        hook
        for hook in hooks
        if isinstance(hook, Mapping) and type_name(hook).endswith('CheckpointHook')
    ]


def checkpoint_folders(cfg: Config) -> list[Path]:
    """Return where a run with this config saves checkpoints: its work directory, or elsewhere."""
    work_dir = Path(cfg.work_dir)
    outside = [hook.get('out_dir') for hook in checkpoint_hooks(cfg)]
    folders = [Path(out, work_dir.resolve().name) for out in outside if out and '://' not in out]
    return [work_dir, *folders]


def regular_checkpoints(cfg: Config) -> list[Path]:
    """Return a run's checkpoints that training can go on from, the newest first."""
    own = [hook['filename_tmpl'] for hook in checkpoint_hooks(cfg) if hook.get('filename_tmpl')]
    names = [re.escape(name).replace(r'\{\}', r'(\d+)') for name in (*TEMPLATES, *own)]
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for folder in checkpoint_folders(cfg):
        for path in folder.glob('*.pth'):
            for name in names:
                match = re.fullmatch(name, path.name)
                if match:
                    kinds.setdefault(name, []).append((int(match[1]), path))
                    break
    ordered = [[path for _, path in sorted(kind, reverse=True)] for kind in kinds.values()]
    # Numbers of iterations and of epochs do not compare: the kind that was written last.
    ordered.sort(key=lambda paths: paths[0].stat().st_mtime, reverse=True)
    return [path for paths in ordered for path in paths]


def is_restarted(cfg: Config) -> bool:
    """Whether the launcher has started a run anew that has saved a checkpoint, on all processes."""
    return continues_training() and on_main_process(lambda: _has_saved(cfg))


def _has_saved(cfg: Config) -> bool:
    saved = bool(regular_checkpoints(cfg))
    place = 'its last checkpoint' if saved else 'the start, as it had saved no checkpoint'
    _say(f'the launcher has restarted this run, which goes on from {place}', logging.WARNING)
    return saved


def find_resume_checkpoint(cfg: Config) -> tuple[str, dict[str, Any]]:
    """Return the checkpoint that ``--resume`` goes on from, and what it holds.

    It is the newest one that is whole, whatever ``last_checkpoint`` says: a run that is killed may
    leave that behind. A damaged one is passed over with a warning.

    Raises:
        ValueError: There is none.
    """
    found = regular_checkpoints(cfg)
    for path in found:
        try:
            checkpoint = check_checkpoint(path, for_resume=True)
        except ValueError as error:
            _say(f'{error}; the one before it is tried', logging.WARNING)
            continue
        pointed = _pointed(Path(cfg.work_dir))
        if pointed != path.name:
            _say(
                f'--resume goes on from {path}, the newest whole checkpoint; last_checkpoint names '
                f'{pointed or "none"}',
                logging.WARNING,
            )
        return str(path), checkpoint
    raise ValueError(_none(cfg, found))


def _none(cfg: Config, damaged: Sequence[Path]) -> str:
    others = sorted(p.name for folder in checkpoint_folders(cfg) for p in folder.glob('*.pth'))
    message = f'--resume: no checkpoint in {cfg.work_dir}'
    if damaged:
        return f'{message} is whole: {", ".join(path.name for path in damaged)} cannot be opened'
    if others:
        return (
            f'{message} can be resumed: it holds only {", ".join(others[:5])}, and no iter_N.pth '
            'or epoch_N.pth'
        )
    return f'{message}; a first start takes no --resume'


def _pointed(work_dir: Path) -> str | None:
    file = work_dir / 'last_checkpoint'
    text = file.read_text(errors='replace').strip() if file.is_file() else ''
    return Path(text).name if text else None


def _say(message: str, level: int) -> None:
    print_log(message, logger='current', level=level)
