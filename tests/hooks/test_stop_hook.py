"""A signal lets a run finish its step and save; the resume continues bit for bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_infopro.hooks import signals_noted, stopping
from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.hooks.test_exact_resume import assert_equal

BuildRunner = Callable[..., Runner]
CHECKPOINT = dict(
    type='WholeCheckpointHook', by_epoch=False, interval=100, max_keep_ckpts=1, save_best='mIoU'
)
HOOKS = [
    'RNGStateHook', 'PartialGradientsHook', 'NonFiniteHook', 'StopHook', 'MadeUpValidationHook'
]  # fmt: skip
PARTS: dict[str, Any] = dict(
    default_hooks=dict(checkpoint=CHECKPOINT),
    custom_hooks=[dict(type=name) for name in HOOKS] + [dict(type='EMAHook')],
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=3),
    randomness=dict(seed=3),
)


class Signals(Hook):
    """Sends this process a signal at a named place."""

    priority = 'HIGHEST'

    def __init__(self, place: str, number: int) -> None:
        self.place, self.number = place, number

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if self.place == 'step' and runner.iter == 3:
            os.kill(os.getpid(), self.number)

    def before_val_iter(self, runner: Runner, batch_idx: int, **kwargs: Any) -> None:
        if self.place == 'validation' and batch_idx == 2:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope='module')
def straight() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    ('place', 'number', 'status'),
    [
        ('step', signal.SIGTERM, 143),
        ('step', signal.SIGINT, 130),
        ('validation', signal.SIGUSR1, 138),
    ],
)
def test_a_run_that_is_stopped_continues_bit_for_bit(
    build_runner: BuildRunner, tmp_path: Path, place: str, number: int, status: int,
    straight: dict[str, Any],
) -> None:  # fmt: skip
    if not straight:
        build_runner(tmp_path / 'straight', val_interval=4, **PARTS).train()
        straight.update(check_checkpoint(tmp_path / 'straight/iter_6.pth', for_resume=True))
    runner = build_runner(tmp_path / 'run', val_interval=4, **PARTS)
    runner.register_hook(Signals(place, number))
    with signals_noted(), pytest.raises(SystemExit) as stop:
        runner.train()
    assert stop.value.code == status
    saved = str(tmp_path / 'run/iter_4.pth')
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['iter_4.pth']
    build_runner(tmp_path / 'run', val_interval=4, load_from=saved, resume=True, **PARTS).train()
    resumed = check_checkpoint(tmp_path / 'run/iter_6.pth', for_resume=True)
    for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'rng_state'):
        assert_equal(straight[part], resumed[part])
    best = straight['message_hub']['runtime_info']['best_score']
    assert resumed['message_hub']['runtime_info']['best_score'] == best


def test_a_later_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, killed = [100.0], []
    monkeypatch.setattr(stopping.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(stopping.os, 'kill', lambda pid, number: killed.append(number))
    with signals_noted() as request:
        request.note(signal.SIGINT, None)
        now[0] += 1.9
        request.note(signal.SIGTERM, None)
        assert (stopping.requested_signal(), killed) == (signal.SIGINT, [])
        now[0] += 0.2
        request.note(signal.SIGTERM, None)
        assert killed == [signal.SIGTERM]
    assert stopping.requested_signal() == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_process_that_loads_data_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    alarms: list[int] = []
    monkeypatch.setattr(stopping.signal, 'alarm', alarms.append)
    with signals_noted() as request:
        monkeypatch.setattr(stopping.os, 'getpid', lambda: -1)
        request.note(signal.SIGTERM, None)
        assert (request.number, alarms) == (0, [stopping.WORKER_GRACE])
