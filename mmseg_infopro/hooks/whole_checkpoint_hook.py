"""Checkpoints of which one is always whole, whenever the run is killed."""

from __future__ import annotations

import hashlib
import pickle
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.runner import CheckpointLoader, Runner, save_checkpoint
from mmseg.registry import HOOKS

from ..files.lock import check_still_held
from ..files.whole import write_whole
from ..parallel.module_parallel import ModuleParallel
from .finite import non_finite_weights
from .stopping import stops_now

KEPT, REPLACED = 'keep_ckpt_ids', 'replaced_checkpoints'
"""Where a checkpoint says which others there are, mmengine's name, and which go after it."""


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's :class:`CheckpointHook`, for runs that may be killed at any time.

    A file is written beside its place and renamed; a new checkpoint is whole, on the disk and named
    in ``last_checkpoint`` before the one that it replaces goes. A run that was killed in between
    removes that when it resumes. Weights that are no numbers are never saved.

    Args:
        args: As for :class:`CheckpointHook`.
        backend_args: As there; by default local files, written whole or not at all.
        kwargs: As for :class:`CheckpointHook`.
    """

    backend_args: dict[str, Any] | None
    keep_ckpt_ids: deque[int]
    file_backend: Any

    def __init__(
        self, *args: Any, backend_args: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, backend_args=backend_args, **kwargs)
        is_remote = '://' in str(self.out_dir or '')
        if self.backend_args is None and self.file_client_args is None and not is_remote:
            self.backend_args = dict(backend='atomic')
        self._waiting: list[str] = []
        self._exempt: frozenset[str] = frozenset()
        self.saved_at: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and remove what the checkpoint that is resumed has replaced."""
        replaced = runner.message_hub.runtime_info.get(REPLACED) or []
        super().before_train(runner)
        self._exempt = frozenset(non_finite_weights(runner))
        if self._exempt:
            runner.logger.warning(
                f'{len(self._exempt)} weights are no numbers from the start, first '
                f'{min(self._exempt)}: only the others are watched'
            )
        self.saved_at = runner.iter if runner.iter else None
        if runner.iter:  # so that a best one that is made up is noted there
            self.last_ckpt = runner.message_hub.runtime_info.get('last_ckpt')
        # By name: the work directory may have moved.
        self._waiting = [self._path(Path(path).name) for path in replaced]
        self._remove_replaced(runner)

    def save_now(self, runner: Runner, iteration: int) -> bool:
        """Save after ``iteration`` iterations, unless that is done; return whether it could be."""
        if not self.by_epoch and self.saved_at != iteration:
            meta = dict(epoch=runner.epoch, iter=iteration)
            self._save_checkpoint_with_step(runner, iteration, meta)
        return self.saved_at == iteration

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save when that is due, and when a signal asked the run to stop."""
        super().after_train_iter(runner, *args, **kwargs)
        if stops_now(runner):
            self.save_now(runner, runner.iter + 1)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save first, then point there, then remove what is beyond ``max_keep_ckpts``."""
        if not self._may_save(runner):
            return
        if self.max_keep_ckpts > 0:
            kept = [number for number in self.keep_ckpt_ids if number != step] + [step]
            dropped, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info(KEPT, kept)
            for number in dropped:
                self._replace(runner, self._path(self.filename_tmpl.format(number)))
        check_still_held(runner.work_dir)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self._path(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self.saved_at = meta['iter']
        if is_main_process():
            write_whole(Path(runner.work_dir, 'last_checkpoint'), self.last_ckpt)
        self._remove_replaced(runner)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        """Save the best and the newest checkpoint, then remove the best one until now."""
        if not self.save_best or not self._may_save(runner):
            return
        backend = self.file_backend
        self.file_backend = _RemovesLater(backend, lambda path: self._replace(runner, path))
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        self._remove_replaced(runner)

    @master_only
    def _publish_model(self, runner: Runner, ckpt_path: str) -> None:
        """As mmengine's, but the published file too is whole or not there."""
        checkpoint = CheckpointLoader.load_checkpoint(ckpt_path, map_location='cpu')
        published = {key: checkpoint[key] for key in checkpoint if key in self.published_keys}
        digest = hashlib.sha256(pickle.dumps(published)).hexdigest()[:8]
        target = f'{str(ckpt_path).removesuffix(".pth")}-{digest}.pth'
        save_checkpoint(published, target, backend_args=self.backend_args)
        runner.logger.info(f'The checkpoint ({ckpt_path}) is published to {target}.')

    def _may_save(self, runner: Runner) -> bool:
        """Whether all weights are numbers; those that never were do not count."""
        broken = [name for name in non_finite_weights(runner) if name not in self._exempt]
        if isinstance(runner.model, ModuleParallel):  # each process has other weights
            runner.model.meet()
            broken = [name for names in all_gather_object(broken) for name in names]
        if broken:
            runner.logger.warning(
                f'no checkpoint is saved after iteration {runner.iter}: {len(broken)} weights are '
                f'no numbers, first {broken[0]}; {self.last_ckpt or "none"} is the last one'
            )
        return not broken

    def _path(self, name: str) -> str:
        return self.file_backend.join_path(self.out_dir, name)

    def _replace(self, runner: Runner, path: str) -> None:
        """Remove a file later: the next checkpoint says so, for a run that is killed before."""
        self._waiting.append(str(path))
        runner.message_hub.update_info(REPLACED, list(self._waiting))

    def _remove_replaced(self, runner: Runner) -> None:
        waiting, self._waiting = self._waiting, []
        for path in waiting if is_main_process() else ():
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # saved by deepspeed
                self.file_backend.rmtree(path)
        runner.message_hub.update_info(REPLACED, [])


class _RemovesLater:
    """A file backend that hands on what it is to remove."""

    def __init__(self, backend: Any, remove: Callable[[str], None]) -> None:
        self._backend = backend
        self.remove = self.rmtree = remove

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
