"""Pipelines started as users start them: three modules, restarts, signals, a lost first process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mmengine.device import get_device

from mmseg_infopro.datasets.cityscapes_tree import inspect_tree, prepare_tree
from mmseg_infopro.datasets.streets import StreetSettings, write_streets
from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.parallel.slow_process import figures
from tests.parallel.test_killed_process import launch, train
from tests.parallel.test_pipeline_runs import check_same_file, same
from tests.tools.conftest import ROOT, run_tool, write_config
from tests.tools.test_scripts import free_port

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(get_device() != 'cpu', reason='there is an accelerator'),
]

RUN = """
train_cfg.update(max_iters=14, val_interval=4)
default_hooks.update(
    logger=dict(interval=3), checkpoint=dict(interval=4, max_keep_ckpts=9, save_best='mIoU')
)
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
optim_wrapper = dict(clip_grad=dict(max_norm=1.0), accumulative_counts=2)
model['local'].update(update='module', process_timeout=20)
model.update(test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32)))
"""
HIT = """
custom_imports = dict(imports=['mmseg_infopro', 'hitting'], allow_failed_imports=False)
custom_hooks += [dict(type='HittingHook', rank=r, number={number}, at=at) for r, at in {hits}]
"""
HITTING_HOOK = """
import os, signal
from pathlib import Path
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

@HOOKS.register_module()
class HittingHook(Hook):
    def __init__(self, rank, number, at):
        self.rank, self.number, self.at = rank, number, at
    def before_train_iter(self, runner, *args, **kwargs):
        mark = Path(f'was_hit_{self.at}')
        if runner.rank == self.rank and runner.iter == self.at and not mark.exists():
            mark.touch()
            if self.number == signal.SIGKILL:
                layer = runner.model.module.backbone.get_submodule(('stem', 'layer4.0')[self.rank])
                layer.register_forward_pre_hook(lambda *_: os.kill(os.getpid(), self.number))
            else:
                os.kill(os.getpid(), self.number)
"""

MMSEG_TEST = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner

cfg = Config.fromfile(sys.argv[1])
cfg.update(launcher='none', load_from=sys.argv[2], work_dir='tested')
print(f"found {Runner.from_cfg(cfg).test()['mIoU']:.2f}")
"""
"""What mmseg's own tools/test.py does."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('tests.parallel.test_killed_process.TIMEOUT', 300)
    write_streets(tmp_path / 'streets', StreetSettings(train=4, val=3, height=64, width=128))
    prepare_tree(inspect_tree(tmp_path / 'streets').frames)
    (tmp_path / 'hitting.py').write_text(HITTING_HOOK)
    return tmp_path


def plain(folder: Path) -> Path:
    return write_config(folder, folder / 'streets', RUN)


def hit(folder: Path, *hits: tuple[int, int], number: int) -> Path:
    """Write a config by which processes get a signal in an iteration: (rank, iteration)."""
    text = RUN + HIT.format(hits=hits, number=number)
    return write_config(folder, folder / 'streets', text, 'hit')


def check_same_runs(run: Path, other: Path) -> None:
    """Check that all that two runs have saved is the same, their best checkpoints too."""
    names = [sorted(file.name for file in folder.glob('*.pth')) for folder in (run, other)]
    assert names[0] == names[1]
    assert [name for name in names[0] if name.startswith('best_')]
    for name in names[0]:
        if name.startswith('best_'):
            best = [check_checkpoint(folder / name)['state_dict'] for folder in (run, other)]
            assert same(*best)
        else:
            check_same_file(run / name, other / name)


def test_three_modules_are_as_one_process(folder: Path) -> None:
    outcome = train(plain(folder), '--modules', '3', processes=3)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count('mIoU') > 1
    dumped = folder / 'run/tiny.py'  # with the boundaries that were planned
    (folder / 'dumped.py').write_text(dumped.read_text())
    arguments = 'dumped.py', '--work-dir', 'alone', '--placement', 'replicate'
    assert run_tool('train', *arguments, '--cfg-options', 'launcher=none', 'load_from=None') == 0
    check_same_runs(folder / 'run', folder / 'alone')
    tested = launch(folder, sys.executable, '-c', MMSEG_TEST, str(dumped), 'run/iter_14.pth')
    _, mious = figures(folder / 'run')
    assert tested.stdout.splitlines()[-1] == f'found {mious[-1]:.2f}', tested.stderr


@pytest.mark.parametrize(
    ('placement', 'hits'), [('pipeline', [(0, 3), (1, 6), (0, 10)]), ('replicate', [(0, 6)])]
)
def test_torchrun_restarts_a_run(folder: Path, placement: str, hits: list[tuple[int, int]]) -> None:
    command = [
        *(sys.executable, str(ROOT / 'tools/launch.py'), '--nproc_per_node=2', '--max_restarts=3'),
        *(f'--master_port={free_port()}', str(ROOT / 'tools/train.py')),
    ]
    arguments = '--launcher', 'pytorch', '--placement', placement, '--work-dir'
    outcome = launch(folder, *command, str(hit(folder, *hits, number=9)), *arguments, 'run')
    assert outcome.returncode == 0, outcome.stderr
    output = outcome.stdout + outcome.stderr
    said = 'the launcher has restarted this run, which goes on from '
    assert output.count(said) == len(hits), output
    saves = sum(at > 4 for _, at in hits)  # the first one is after iteration 4
    assert output.count(f'{said}its last checkpoint') == saves
    undisturbed = launch(folder, *command, str(plain(folder)), *arguments, 'undisturbed')
    assert undisturbed.returncode == 0, undisturbed.stderr
    check_same_runs(folder / 'run', folder / 'undisturbed')


@pytest.mark.parametrize('rank', [0, 1])
def test_a_signal_to_one_process_stops_and_saves(folder: Path, rank: int) -> None:
    config = hit(folder, (rank, 3), number=15)
    outcome = train(config, '--placement', 'pipeline')
    assert outcome.returncode == 143, outcome.stderr
    assert 'stopped by SIGTERM' in outcome.stdout
    outcome = train(config, '--placement', 'pipeline', '--resume')
    assert outcome.returncode == 0, outcome.stderr
    assert run_tool('train', plain(folder), '--work-dir', 'alone') == 0
    check_same_file(folder / 'run/iter_14.pth', folder / 'alone/iter_14.pth')


@pytest.mark.parametrize('rank', [0, 1])
def test_whichever_process_dies_the_other_one_names_it(folder: Path, rank: int) -> None:
    outcome = train(hit(folder, (rank, 3), number=9), '--placement', 'pipeline')
    assert outcome.returncode != 0
    said = f'error: process {rank}, which trains local module {rank}, has ended'
    assert outcome.stderr.count(said) == 1, outcome.stderr
    assert 'Traceback' not in outcome.stderr
