from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmseg_infopro.files.lock import folder_lock
from mmseg_infopro.local.names import trained_boundaries
from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.tools.conftest import ROOT, Run, Trained, write_config

ON_CPU = pytest.mark.skipif(get_device() != 'cpu', reason='there is an accelerator')


def test_a_run_leaves_its_checkpoint_and_its_partition(trained: Trained) -> None:
    weights = check_checkpoint(trained.checkpoint, for_resume=True)['state_dict']
    assert trained_boundaries(list(weights)) == ['layer2.0']
    dumped = Config.fromfile(trained.work_dir / trained.config.name)
    assert dumped.model.local.boundaries == ['layer2.0']


def test_resume_goes_on(trained: Trained, run: Run, tmp_path: Path) -> None:
    work_dir = shutil.copytree(trained.work_dir, tmp_path / 'run')
    arguments = trained.config, '--work-dir', work_dir, '--cfg-options', 'train_cfg.max_iters=3'
    outcome = run('train', *arguments)
    assert 'already holds the checkpoints of a run: continue it with --resume' in outcome.error
    outcome = run('train', *arguments, '--resume', '--method', 'greedy')
    assert 'trained with model.local.heads=' in outcome.error
    assert run('train', *arguments, '--resume').status == 0
    resumed = check_checkpoint(work_dir / 'iter_3.pth', for_resume=True)
    assert resumed['meta']['iter'] == 3
    assert len(resumed['message_hub']['log_scalars']['train/loss'].data[0]) == 3


def test_resume_needs_a_checkpoint(config: Path, run: Run) -> None:
    outcome = run('train', config, '--work-dir', 'nothing', '--resume')
    assert outcome.error == (
        'error: --resume: no checkpoint in nothing; a first start takes no --resume'
    )


def test_options_replace_the_partition(config: Path, run: Run, tmp_path: Path) -> None:
    options = 'model.local.num_modules=4', 'train_cfg.max_iters=1', 'default_hooks.checkpoint=None'
    outcome = run('train', config, '--work-dir', 'run', '--cfg-options', *options)
    assert outcome.status == 0
    assert outcome.out.count('predicted peak of a step: ') == 1
    assert 'MiB of end-to-end training' in outcome.out
    local = Config.fromfile(tmp_path / 'run' / config.name).model.local
    assert len(local.boundaries) == 3
    assert 'num_modules' not in local


def test_another_partitions_checkpoint(trained: Trained, run: Run) -> None:
    options = (
        'model.local.boundaries=[layer3.0]',
        f'load_from={trained.checkpoint}',
        'train_cfg.max_iters=1',
    )
    outcome = run('train', trained.config, '--work-dir', 'run', '--cfg-options', *options)
    assert "boundaries=['layer2.0'] (K=2)" in outcome.error
    assert "boundaries=['layer3.0'] (K=2)" in outcome.error
    options = *options, 'model.local.warm_start=True'
    outcome = run('train', trained.config, '--work-dir', 'run', '--cfg-options', *options)
    assert outcome.status == 0, outcome.err


def test_hostile_checkpoints_are_not_run(config: Path, hostile: Path, run: Run) -> None:
    outcome = run('train', config, '--cfg-options', f'load_from={hostile}')
    assert 'contains pickled code (posix.system)' in outcome.error
    assert not (hostile.parent / 'trace').exists()


def test_damaged_checkpoints_are_named(config: Path, cut_off: Path, run: Run) -> None:
    outcome = run('train', config, '--cfg-options', f'load_from={cut_off}')
    assert f'checkpoint {cut_off} is damaged' in outcome.error


@ON_CPU
def test_amp_needs_an_accelerator(config: Path, run: Run) -> None:
    assert '--amp needs an accelerator' in run('train', config, '--amp').error


@ON_CPU
def test_a_launcher_must_have_started_the_process(
    config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('RANK', raising=False)
    error = run('train', config, '--work-dir', 'run', '--launcher', 'pytorch').error
    assert '--launcher pytorch needs a process that it started, but RANK' in error


def test_broken_configs_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / 'broken.py').write_text('model = dict(')
    assert 'the config broken.py cannot be read' in run('train', 'broken.py').error


def test_missing_data_is_named(run: Run, tmp_path: Path) -> None:
    config = write_config(tmp_path, tmp_path / 'no_streets')
    assert 'no_streets does not exist' in run('train', config).error


def test_a_user_sees_one_sentence() -> None:
    command = [sys.executable, str(ROOT / 'tools/train.py'), 'no_config.py']
    outcome = subprocess.run(
        command, capture_output=True, text=True, env={'PYTHONPATH': str(ROOT)}, check=False
    )
    assert outcome.returncode == 2
    assert outcome.stderr.splitlines()[-1] == 'error: the config no_config.py does not exist'
    assert 'Traceback' not in outcome.stderr


@pytest.mark.parametrize('tool', ['train', 'test', 'export'])
def test_help_has_an_example(tool: str, run: Run) -> None:
    outcome = run(tool, '--help')
    assert outcome.status == 0
    assert f'infopro {tool} configs/' in outcome.out


@pytest.mark.parametrize(
    'option',
    [
        'model.pretrained={}',
        'model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint={}',
    ],
)
def test_hostile_pretrained_weights_are_not_run(
    config: Path, hostile: Path, run: Run, option: str
) -> None:
    outcome = run('train', config, '--cfg-options', *option.format(hostile).split())
    assert 'contains pickled code (posix.system)' in outcome.error
    assert not (hostile.parent / 'trace').exists()


def test_what_only_looks_like_a_zoo_is_a_file(config: Path, hostile: Path, run: Run) -> None:
    (hostile.parent / 'x:').mkdir()
    hostile.rename(hostile.parent / 'x:/h.pth')
    outcome = run('train', config, '--cfg-options', 'model.pretrained=x://h.pth')
    assert 'contains pickled code (posix.system)' in outcome.error
    assert not (hostile.parent / 'trace').exists()


def test_weights_that_do_not_fit_are_not_silent(
    config: Path, run: Run, tmp_path: Path, trained: Trained
) -> None:
    weights = check_checkpoint(trained.checkpoint)['state_dict']
    foreign = {f'net.{name}': weight.clone() for name, weight in weights.items()}
    backbone = {
        name.removeprefix('backbone.'): weight.clone()
        for name, weight in weights.items()
        if name.startswith('backbone.')
    }
    torch.save(dict(model=foreign), tmp_path / 'foreign.pth')
    torch.save(dict(teacher=backbone), tmp_path / 'teacher.pth')
    options = 'train_cfg.max_iters=1', 'default_hooks.checkpoint=None'
    warm = 'load_from=foreign.pth', 'model.local.warm_start=True'
    for named in (warm, ['model.pretrained=foreign.pth']):
        error = run('train', config, '--cfg-options', *options, *named).error
        assert 'only 0 of ' in error
        assert 'allow_few_weights=True' in error
    outcome = run('train', config, '--cfg-options', *options, *warm, 'allow_few_weights=True')
    assert outcome.status == 0, outcome.err
    outcome = run('train', config, '--cfg-options', *options, 'model.pretrained=teacher.pth')
    assert outcome.status == 0, outcome.err
    assert 'tensors are taken from teacher.pth' in outcome.out


def test_a_variable_of_the_config_file_is_not_ignored(config: Path, run: Run) -> None:
    error = run('train', config, '--cfg-options', 'data_root=elsewhere').error
    assert '--cfg-options data_root=elsewhere would change nothing' in error


def test_options_that_do_not_fit_are_named(config: Path, run: Run) -> None:
    error = run('train', config, '--cfg-options', 'param_scheduler.5.end=3').error
    assert '--cfg-options param_scheduler.5.end: param_scheduler has items 0 to 0, got' in error


def test_a_run_in_the_configs_own_folder_leaves_it_alone(config: Path, run: Run) -> None:
    before = config.read_text()
    options = 'train_cfg.max_iters=1', 'default_hooks.checkpoint=None'
    for _ in range(2):
        outcome = run('train', config, '--work-dir', config.parent, '--cfg-options', *options)
        assert outcome.status == 0, outcome.err
    assert config.read_text() == before
    assert Config.fromfile(config.with_name('run_tiny.py')).model.local.boundaries == ['layer2.0']


@pytest.mark.parametrize(
    ('work_dir', 'message'), [('', 'work_dir is empty'), ('tiny.py', 'tiny.py is a file')]
)
def test_a_work_dir_is_a_directory(config: Path, run: Run, work_dir: str, message: str) -> None:
    assert message in run('train', config, '--work-dir', work_dir).error


def test_a_work_dir_in_use_is_refused(config: Path, run: Run, tmp_path: Path) -> None:
    with folder_lock(tmp_path / 'run'):
        (tmp_path / 'run/iter_2.pth.0123abcd.partial').touch()
        error = run('train', config, '--work-dir', 'run').error
        assert f'run is in use by another run (process {os.getpid()} on ' in error
        assert (tmp_path / 'run/iter_2.pth.0123abcd.partial').exists()
    error = run('train', config, '--work-dir', 'run', '--resume').error
    assert 'a first start takes no --resume' in error
    assert list((tmp_path / 'run').iterdir()) == []
