"""A process that dies ends the whole job, and the job can be resumed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.device import get_device

from mmseg_infopro.datasets.cityscapes_tree import inspect_tree, prepare_tree
from mmseg_infopro.datasets.streets import StreetSettings, write_streets
from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.tools.conftest import ROOT, write_config
from tests.tools.test_scripts import free_port

TIMEOUT = 60  # seconds for a job of about 10; only a job that hangs waits for it
FOUR_STEPS = """
train_cfg.update(max_iters=4)
default_hooks.update(logger=dict(interval=1))
"""
DIES = """
custom_imports = dict(imports=['mmseg_infopro', 'dying'], allow_failed_imports=False)
custom_hooks = [dict(type='DyingHook')]
"""
DYING_HOOK = """
import os, signal
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

@HOOKS.register_module()
class DyingHook(Hook):
    def before_train_iter(self, runner, *args, **kwargs):
        if runner.rank == 1 and runner.iter == 2:
            module = runner.model.module.backbone.layer3[0]  # module 0 is being averaged
            module.register_forward_pre_hook(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


def train(config: Path, *args: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Train in two processes, or so many; fail if that does not end."""
    script = str(ROOT / 'tools/dist_train.sh')
    return launch(config.parent, script, str(config), str(processes), '--work-dir', 'run', *args)


def job_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a job of one thread a process, which may import from a folder."""
    return {
        **os.environ,
        'PYTHON': sys.executable,
        'PYTHONPATH': f'{folder}:{ROOT}',
        'PORT': str(free_port()),
        'OMP_NUM_THREADS': '1',
    }


def launch(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a job in a folder; fail if that does not end."""
    job = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=job_environment(folder),
    )
    try:
        out, err = job.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        job.terminate()  # torchrun then ends its processes
        pytest.fail(f'the job did not end in {TIMEOUT} s: {job.communicate()[1]}')
    return subprocess.CompletedProcess(command, job.returncode, out, err)


@pytest.mark.campaign
@pytest.mark.skipif(get_device() != 'cpu', reason='there is an accelerator')
def test_a_killed_process_ends_the_job_which_can_be_resumed(tmp_path: Path) -> None:
    streets = tmp_path / 'streets'
    write_streets(streets, StreetSettings(train=4, val=2, height=64, width=128))
    prepare_tree(inspect_tree(streets).frames)
    (tmp_path / 'dying.py').write_text(DYING_HOOK)
    outcome = train(write_config(tmp_path, streets, FOUR_STEPS + DIES))
    assert outcome.returncode == 128 + 9
    assert outcome.stderr.splitlines()[-1] == 'error: process 1 was killed by signal SIGKILL'
    assert 'Traceback' not in outcome.stderr
    assert check_checkpoint(tmp_path / 'run/iter_2.pth', for_resume=True)
    assert not (tmp_path / 'run/iter_4.pth').exists()

    outcome = train(write_config(tmp_path, streets, FOUR_STEPS), '--resume')
    assert outcome.returncode == 0, outcome.stderr
    steps = [line.partition('Iter(train) ')[2][:5] for line in outcome.stdout.splitlines()]
    assert [step for step in steps if step] == ['[3/4]', '[4/4]']
    assert check_checkpoint(tmp_path / 'run/iter_4.pth', for_resume=True)
