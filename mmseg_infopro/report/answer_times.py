"""How long a user waits for an answer: seconds of commands, first without a cache and then with."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..files.cache import VARIABLE

RESOLVE = (
    'import sys, time; from mmseg_infopro import localize, resolve; '
    'cfg = localize(sys.argv[1], 4); start = time.process_time(); resolve(cfg); '
    'print(time.process_time() - start)'
)
"""What training plans before it starts, without the imports."""


@dataclass(frozen=True)
class AnswerTimes:
    """Seconds of one core that a config's answers take.

    Attributes:
        config: Its file or name.
        resolve: Planning four modules when training starts: without a cache, and with.
        fit: ``infopro fit`` with all its searches, imports included: without a cache, and with.
    """

    config: str
    resolve: tuple[float, float]
    fit: tuple[float, float]


def answer_times(configs: Sequence[str], cap: str, fit: Sequence[str]) -> Iterator[AnswerTimes]:
    """Time the answers for some configs, each in processes of its own.

    Args:
        configs: Files or names.
        cap: For ``fit``, as ``'40%'``.
        fit: The words that begin the command line of ``fit``.
    """
    for config in configs:
        with tempfile.TemporaryDirectory() as folder:
            resolve = [float(_run([sys.executable, '-c', RESOLVE, config], folder)[1].split()[-1])]
            command = [*fit, config, '--cap', cap]
            seconds = [_run(command, folder)[0], _run(command, folder)[0]]
            again = _run([sys.executable, '-c', RESOLVE, config], folder)[1]
        resolve.append(float(again.split()[-1]))
        yield AnswerTimes(config, (resolve[0], resolve[1]), (seconds[0], seconds[1]))


def _run(command: Sequence[str], cache: str) -> tuple[float, str]:
    """Run a command; return its seconds of processor time, and what it prints.

    Raises:
        ValueError: It failed.
    """
    variables: Mapping[str, str] = {**os.environ, VARIABLE: cache, 'OMP_NUM_THREADS': '1'}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise ValueError(f'{" ".join(command[-4:])} failed: {done.stderr.strip()[-300:]}')
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, done.stdout
