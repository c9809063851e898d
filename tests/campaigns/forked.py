"""Runs of ``tools/train.py`` in processes of their own, to be killed.

They are forked, not started: importing torch and mmseg anew would take most of the time.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmseg_infopro.hooks.atomic_backend as atomic_backend
from mmseg_infopro.files import whole
from mmseg_infopro.run.runner import InfoProRunner
from tests.tools.conftest import run_tool
from tests.tools.test_scripts import free_port

DEADLINE = 240.0
"""Seconds for a run of about two; only one that hangs waits for it."""
POINTS = (
    'half of a checkpoint is written',
    'a checkpoint is written, and not renamed',
    'a checkpoint is renamed, and the pointer old',
    'the pointer is written, and not renamed',
    'the pointer is new, and an old checkpoint there',
    'an old checkpoint is removed',
    'in a validation',
    'in an update',
)
"""Where a run kills itself, besides moments that are drawn."""


@dataclass(frozen=True)
class Stop:
    """How a run is to be stopped.

    Attributes:
        at: One of :data:`POINTS`; None for a moment after an iteration has begun.
        steps: Of this run before that.
        delay: Seconds from the iteration's begin.
        signal: That is sent.
        max_bytes: Of a file from that iteration on, in place of a signal: a disk that is full.
    """

    at: str | None = None
    steps: int = 0
    delay: float = 0.0
    signal: int = signal.SIGKILL
    max_bytes: int | None = None


def drawn_stop(generator: random.Random, number: int = signal.SIGKILL) -> Stop:
    """Return a random moment in the next steps."""
    return Stop(steps=generator.randrange(5), delay=generator.uniform(0, 0.25), signal=number)


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        statuses: Exit statuses by process; of one that was killed the negative signal.
        output: What the first process wrote.
    """

    statuses: tuple[int, ...]
    output: str


def train(folder: Path, *args: object, stop: Stop | None = None, processes: int = 1) -> Ended:
    """Train in new processes, until they end or are stopped."""
    launcher: list[object] = ['--launcher', 'pytorch'] if processes > 1 else []
    port, pids = free_port(), []
    for rank in range(processes):
        job = dict(RANK=rank, WORLD_SIZE=processes, LOCAL_RANK=rank, MASTER_PORT=port)
        job['MASTER_ADDR'] = '127.0.0.1'
        environment = job if processes > 1 else {}
        output = folder / f'output_{rank}'
        pids.append(_fork([*args, *launcher], stop, environment, output))
    statuses = _wait(pids)
    return Ended(statuses, (folder / 'output_0').read_text(errors='replace'))


def _fork(args: Sequence[object], stop: Stop | None, job: dict[str, Any], output: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        with output.open('wb') as file:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
        # Else they are pytest's.
        sys.stdout, sys.stderr = (os.fdopen(stream, 'w', buffering=1) for stream in (1, 2))
        os.environ.update({key: str(value) for key, value in job.items()})
        if stop is not None:
            _plan(stop)
        status = run_tool('train', *args)
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(pids: list[int]) -> tuple[int, ...]:
    """Wait for all; when one has ended badly, end the others, as a launcher does."""
    statuses: dict[int, int] = {}
    end, ended_badly = time.monotonic() + DEADLINE, None
    while len(statuses) < len(pids):
        for pid in pids:
            if pid not in statuses:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    statuses[pid] = os.waitstatus_to_exitcode(status)
                    _kill_group(pid)
                    if statuses[pid] and ended_badly is None:
                        ended_badly = time.monotonic()
        late = time.monotonic() > end
        if late or (ended_badly is not None and time.monotonic() > ended_badly + 10):
            for pid in set(pids) - statuses.keys():
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if time.monotonic() > end:
        raise TimeoutError(f'a run did not end in {DEADLINE} s')
    return tuple(statuses[pid] for pid in pids)


def _kill_group(pid: int) -> None:
    """End the processes that loaded data for one that has ended."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


class _Stops(Hook):
    """Stops its own process, group and all, as planned."""

    priority = 'HIGHEST'

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.start = -1

    def before_train(self, runner: Runner) -> None:
        self.start = runner.iter

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if self.stop.at is not None or runner.iter - self.start != self.stop.steps:
            return
        if self.stop.max_bytes is not None:
            limits = self.stop.max_bytes, resource.RLIM_INFINITY
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        else:
            threading.Timer(self.stop.delay, send, [self.stop.signal]).start()

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if self.stop.at == 'in a validation':
            send(self.stop.signal)


def send(number: int) -> None:
    """Send a signal to this process and those that load its data."""
    os.killpg(os.getpgid(0), number)


def _plan(stop: Stop) -> None:
    """Change this process, which is a fork, so that it stops."""
    original = InfoProRunner.train

    def train_and_stop(runner: Any) -> Any:
        runner.register_hook(_Stops(stop))
        if stop.at == 'in an update':
            _kill_before(runner, stop)
        return original(runner)

    InfoProRunner.train = train_and_stop  # type: ignore[method-assign]
    if stop.at is not None:
        _plan_point(stop.at, lambda: send(stop.signal))


def _kill_before(runner: Any, stop: Stop) -> None:
    class Updates(Hook):
        def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
            optimizer = runner.optim_wrapper.optimizer
            if runner.iter % 3 == 2:
                optimizer.register_step_pre_hook(lambda *_: send(stop.signal))

    runner.register_hook(Updates())


def _plan_point(point: str, kill: Callable[[], None]) -> None:
    replace, remove, write = whole.os.replace, LocalBackend.remove, atomic_backend.write_whole

    def replaces(source: Any, target: Any) -> None:
        is_checkpoint = Path(target).suffix == '.pth'
        is_pointer = Path(target).name == 'last_checkpoint'
        if (point == POINTS[1] and is_checkpoint) or (point == POINTS[3] and is_pointer):
            kill()
        replace(source, target)
        if (point == POINTS[2] and is_checkpoint) or (point == POINTS[4] and is_pointer):
            kill()

    def removes(self: Any, path: Any) -> None:
        remove(self, path)
        if point == POINTS[5]:
            kill()

    def writes(path: Any, content: bytes) -> None:
        if point == POINTS[0]:
            with whole.whole_file(path) as partial:
                partial.write_bytes(content[: len(content) // 2])
                kill()
        write(path, content)

    whole.os.replace = replaces
    LocalBackend.remove = removes  # type: ignore[method-assign]
    atomic_backend.write_whole = writes
