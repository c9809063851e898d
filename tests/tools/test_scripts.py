from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.device import get_device

from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.tools.conftest import ROOT

SCRIPTS = ('dist_train', 'dist_test', 'slurm_train')


def run_script(
    name: str, *args: object, cwd: Path = ROOT, **environment: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / f'tools/{name}.sh'), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **{key: str(value) for key, value in environment.items()}},
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize('name', SCRIPTS)
def test_usage(name: str) -> None:
    helped = run_script(name, '--help')
    assert helped.returncode == 0
    assert 'example: ' in helped.stdout
    assert f'tools/{name}.sh ' in helped.stdout
    refused = run_script(name)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f'usage: tools/{name}.sh ')


@pytest.mark.parametrize(('gres', 'wanted'), [(None, ['--gres=gpu:2']), ('', [])])
def test_slurm_gets_its_arguments(tmp_path: Path, gres: str | None, wanted: list[str]) -> None:
    fake = tmp_path / 'srun'
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    environment = dict(
        PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS=4, GPUS_PER_NODE=2, SRUN_ARGS='-t 10'
    )
    environment |= {} if gres is None else {'GRES': gres}
    arguments = 'part', 'a job', 'a config.py', 'work', '--cfg-options', "a=['b c']"
    outcome = run_script('slurm_train', *arguments, **environment)
    assert outcome.stdout.splitlines() == [
        '--partition=part',
        '--job-name=a job',
        '--ntasks=4',
        '--ntasks-per-node=2',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=0',
        '--wait=60',
        *wanted,
        '--signal=USR1@120',
        '-t',
        '10',
        'python',
        '-u',
        str(ROOT / 'tools/train.py'),
        'a config.py',
        '--work-dir',
        'work',
        '--launcher',
        'slurm',
        '--cfg-options',
        "a=['b c']",
    ]


SRUN = """#!/bin/sh
echo x >> calls
echo "$@" | grep -o -- --resume
test $(wc -l < calls) -gt "$WARNINGS" && exit $END
test -n "$STUCK" || wc -l < calls > w/last_checkpoint
exit 138
"""


@pytest.mark.parametrize(
    ('environment', 'status', 'resumes'),
    [
        (dict(WARNINGS=0, END=0), 0, 0),
        (dict(WARNINGS=0, END=3), 3, 0),
        (dict(WARNINGS=2, END=0), 0, 2),
        (dict(WARNINGS=2, END=0, REQUEUE=0), 138, 0),
        (dict(WARNINGS=9, END=0, STUCK=1), 138, 1),
        (dict(WARNINGS=1, END=0, SLURM_JOB_ID=7), 0, 'requeue 7'),
        (dict(WARNINGS=0, END=0, SLURM_RESTART_COUNT=1), 0, 1),
        (dict(WARNINGS=9, END=0, STUCK=1, SLURM_RESTART_COUNT=1, SLURM_JOB_ID=7), 138, 1),
    ],
)
def test_slurm_goes_on_when_the_time_was_up(
    tmp_path: Path, environment: dict[str, object], status: int, resumes: object
) -> None:
    for name, text in (('srun', SRUN), ('scontrol', '#!/bin/sh\necho "$@"\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / 'w').mkdir()
    if 'STUCK' in environment or 'SLURM_RESTART_COUNT' in environment:
        (tmp_path / 'w/last_checkpoint').write_text('iter_1.pth')
    path = f'{tmp_path}:{os.environ["PATH"]}'
    outcome = run_script('slurm_train', 'p', 'j', 'c', 'w', cwd=tmp_path, PATH=path, **environment)
    assert outcome.returncode == status, outcome.stderr
    lines = outcome.stdout.split('\n')
    if isinstance(resumes, str):
        assert resumes in lines
    else:
        assert lines.count('--resume') == resumes


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = dict(PORT=port, PYTHON=sys.executable)
        outcome = run_script('dist_train', 'no.py', 2, **environment)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(f'error: port {port} of this machine is in use')
    assert 'Traceback' not in outcome.stderr


@pytest.mark.slow
@pytest.mark.skipif(get_device() != 'cpu', reason='there is an accelerator')
def test_two_processes_train_and_test_without_gpus(config: Path, tmp_path: Path) -> None:
    environment = dict(PYTHON=sys.executable, OMP_NUM_THREADS=1)
    arguments = config, 2, '--work-dir', tmp_path / 'run'
    outcome = run_script('dist_train', *arguments, cwd=tmp_path, PORT=free_port(), **environment)
    assert outcome.returncode == 0, outcome.stderr
    assert 'Iter(train) [2/2]' in outcome.stdout
    saved = check_checkpoint(tmp_path / 'run/iter_2.pth', for_resume=True)
    assert len(saved['rng_state']['ranks']) == 2
    dumped = Config.fromfile(tmp_path / 'run' / config.name)
    assert dumped.model_wrapper_cfg.type == 'LocalDataParallel'
    arguments = config, tmp_path / 'run/iter_2.pth', 2, '--tta', '--out', tmp_path / 'm.json'
    outcome = run_script('dist_test', *arguments, cwd=tmp_path, PORT=free_port(), **environment)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads((tmp_path / 'm.json').read_text())['mode'] == 'ms-flip'
