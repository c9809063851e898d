"""At every moment of a run there is a checkpoint to resume from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmseg_infopro.files.whole
from mmseg_infopro.run.checkpoints import check_checkpoint

BuildRunner = Callable[..., Runner]


class Killed(BaseException):
    pass


def hooks(**settings: Any) -> dict[str, Any]:
    hook = dict(type='WholeCheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=1)
    return dict(checkpoint=dict(hook, **settings))


def whole(folder: Path, pattern: str) -> list[str]:
    files = sorted(folder.glob(pattern))
    for file in files:
        check_checkpoint(file)
    return [file.name for file in files]


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[str], None]]:
    """Called before and after every file gets its name or goes."""
    callbacks: list[Callable[[str], None]] = []

    def watched(function: Callable[..., Any], named: int) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            for callback in callbacks:
                callback(f'before {function.__name__} {Path(args[named]).name}')
            result = function(*args)
            for callback in callbacks:
                callback(f'after {function.__name__} {Path(args[named]).name}')
            return result

        return call

    os = mmseg_infopro.files.whole.os
    monkeypatch.setattr(os, 'replace', watched(os.replace, 1))
    monkeypatch.setattr(LocalBackend, 'remove', watched(LocalBackend.remove, 1))
    return callbacks


def test_a_new_one_is_whole_before_an_old_one_goes(
    build_runner: BuildRunner, tmp_path: Path, moments: list[Callable[[str], None]]
) -> None:
    seen: list[str] = []

    def check(moment: str) -> None:
        seen.append(moment)
        started = any('after replace iter_' in earlier for earlier in seen)
        scored = any('after replace best_' in earlier for earlier in seen)
        assert bool(whole(tmp_path, 'iter_*.pth')) == started
        assert bool(whole(tmp_path, 'best_*.pth')) == scored
        pointer = tmp_path / 'last_checkpoint'
        assert not pointer.exists() or pointer.read_text().endswith('.pth')

    moments.append(check)
    scores = hooks(save_best='mIoU', rule='greater')
    runner = build_runner(tmp_path, val_interval=2, default_hooks=scores)
    runner.register_hook(Rising(), priority='HIGH')
    runner.train()
    assert 'after remove iter_2.pth' in seen
    assert whole(tmp_path, 'iter_*.pth') == ['iter_6.pth']
    assert whole(tmp_path, 'best_*.pth') == ['best_mIoU_iter_6.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_6.pth')


class Rising(Hook):
    """Every validation is better than the one before."""

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        metrics['mIoU'] = float(runner.iter)


@pytest.mark.parametrize('moment', ['after replace iter_4.pth', 'before remove iter_2.pth'])
def test_what_a_killed_run_could_not_remove_goes_at_the_resume(
    build_runner: BuildRunner, tmp_path: Path, moments: list[Callable[[str], None]], moment: str
) -> None:
    def kill(now: str) -> None:
        if now == moment:
            moments.clear()
            raise Killed

    moments.append(kill)
    with pytest.raises(Killed):
        build_runner(tmp_path, default_hooks=hooks()).train()
    assert whole(tmp_path, 'iter_*.pth') == ['iter_2.pth', 'iter_4.pth']
    resumed = dict(load_from=str(tmp_path / 'iter_4.pth'), resume=True)
    build_runner(tmp_path, default_hooks=hooks(), **resumed).train()
    assert whole(tmp_path, 'iter_*.pth') == ['iter_6.pth']


class Breaks(Hook):
    """Weights turn into no numbers after three iterations."""

    priority = 'HIGHEST'

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter == 2:
            torch.nn.init.constant_(next(runner.model.parameters()), float('nan'))


def test_weights_that_are_no_numbers_are_not_saved(
    build_runner: BuildRunner, tmp_path: Path
) -> None:
    runner = build_runner(tmp_path, val_interval=5, default_hooks=hooks(save_best='mIoU'))
    runner.register_hook(Breaks())
    runner.train()
    assert whole(tmp_path, '*.pth') == ['iter_2.pth']
    assert whole(tmp_path, 'iter_*.pth') == ['iter_2.pth']


def test_a_published_checkpoint_is_plain_and_whole(
    build_runner: BuildRunner, tmp_path: Path
) -> None:
    keys = ['meta', 'state_dict']
    build_runner(tmp_path, default_hooks=hooks(published_keys=keys)).train()
    (published,) = tmp_path.glob('iter_6-*.pth')
    assert sorted(check_checkpoint(published)) == keys
