"""A validation that was cut off is made up when the run resumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.hooks.test_exact_resume import assert_equal

BuildRunner = Callable[..., Runner]
PARTS: dict[str, Any] = dict(
    default_hooks=dict(
        checkpoint=dict(type='WholeCheckpointHook', by_epoch=False, interval=3, save_best='mIoU')
    ),
    custom_hooks=[dict(type='RNGStateHook'), dict(type='MadeUpValidationHook')],
    randomness=dict(seed=3),
)


class Killed(BaseException):
    pass


class Kills(Hook):
    def __init__(self, at: int) -> None:
        self.at = at

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter == self.at:
            raise Killed


class Counts(Hook):
    def __init__(self) -> None:
        self.validated: list[int] = []

    def after_val(self, runner: Runner) -> None:
        self.validated.append(runner.iter)


def train(build_runner: BuildRunner, folder: Path, **parts: Any) -> list[int]:
    runner = build_runner(folder, val_interval=3, **PARTS, **parts)
    counts = Counts()
    runner.register_hook(counts)
    runner.train()
    return counts.validated


@pytest.mark.parametrize('at', [3, 6])
def test_it_is_made_up_once(build_runner: BuildRunner, tmp_path: Path, at: int) -> None:
    assert train(build_runner, tmp_path / 'straight') == [3, 6]
    runner = build_runner(tmp_path / 'run', val_interval=3, **PARTS)
    runner.register_hook(Kills(at))
    with pytest.raises(Killed):
        runner.train()
    resume = dict(load_from=str(tmp_path / f'run/iter_{at}.pth'), resume=True)
    assert train(build_runner, tmp_path / 'run', **resume) == [3, 6][at // 3 - 1 :]
    straight, resumed = (
        check_checkpoint(tmp_path / name / 'iter_6.pth', for_resume=True)
        for name in ('straight', 'run')
    )
    for part in ('state_dict', 'optimizer', 'rng_state'):
        assert_equal(straight[part], resumed[part])
    names = [
        sorted(path.name for path in (tmp_path / name).glob('best_*'))
        for name in ('straight', 'run')
    ]
    assert names[0] == names[1] != []
    resume = dict(load_from=str(tmp_path / 'run/iter_6.pth'), resume=True)
    assert train(build_runner, tmp_path / 'run', **resume) == []
