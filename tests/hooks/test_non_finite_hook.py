"""A run stops when its losses are no numbers any more, and says where that began."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_infopro.hooks.loss_watch import LossWatch, describe_loss

BuildRunner = Callable[..., Runner]
NAN, INF = float('nan'), float('inf')


def losses(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_the_first_one_is_found_among_kinds_of_steps() -> None:
    watch = LossWatch()
    watch.add(losses(loss_a=1.0, loss_b=1.0), 1)
    watch.add(losses(loss_c=INF), 2)
    watch.add(losses(loss_a=NAN, loss_b=NAN), 3)
    broken = watch.read()
    assert broken is not None
    assert (broken.iteration, broken.losses, broken.in_a_row) == (2, {'loss_c': INF}, 2)
    assert watch.read() is None
    watch.add(losses(loss_a=1.0, loss_b=1.0), 4)
    assert watch.read() is None


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('local_1.rec.loss_rec', 'the loss of local module 1 by its head rec.rec'),
        ('local_0.loss_ce', 'the loss of local module 0 by its head ce'),
        ('decode.loss_ce', 'the loss loss_ce of the head decode'),
        ('loss', 'the loss of the model'),
    ],
)
def test_a_loss_is_described(name: str, words: str) -> None:
    assert describe_loss(name) == words


class Breaks(Hook):
    """The reconstruction head of local module 0 breaks before iteration 4."""

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter == 3:
            head = runner.model.border_heads(0)[1]
            torch.nn.init.constant_(next(head.parameters()), NAN)


def run(build_runner: BuildRunner, folder: Path, **settings: Any) -> Runner:
    hook = dict(type='WholeCheckpointHook', by_epoch=False, interval=3)
    runner = build_runner(
        folder,
        default_hooks=dict(checkpoint=hook),
        custom_hooks=[dict(type='RNGStateHook'), dict(type='NonFiniteHook', **settings)],
    )
    runner.register_hook(Breaks())
    return runner


def test_the_run_stops_and_keeps_what_is_good(build_runner: BuildRunner, tmp_path: Path) -> None:
    runner = run(build_runner, tmp_path, interval=100)
    message = (
        r'local_0\.loss_rec, the loss of local module 0 by its head rec, was nan in iteration 4'
        r'.*seen after iteration 6; the last good checkpoint is .*iter_3\.pth'
    )
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_3.pth']


def test_a_warning_goes_on_without_saving(build_runner: BuildRunner, tmp_path: Path) -> None:
    run(build_runner, tmp_path, interval=1, action='warn').train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_3.pth']


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"action must be one of .*'stop', 'warn'.*got 'go'"):
        HOOKS.build(dict(type='NonFiniteHook', action='go'))
    with pytest.raises(ValueError, match='interval must be at least 1, got 0'):
        HOOKS.build(dict(type='NonFiniteHook', interval=0))
