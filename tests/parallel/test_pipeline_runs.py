"""Runs of a pipeline by the launcher: their files are those of one process, whatever ends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.device import get_device

from mmseg_infopro.datasets.cityscapes_tree import inspect_tree, prepare_tree
from mmseg_infopro.datasets.streets import StreetSettings, write_streets
from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.parallel.test_killed_process import train
from tests.tools.conftest import run_tool, write_config

pytestmark = pytest.mark.skipif(get_device() != 'cpu', reason='there is an accelerator')

RUN = """
train_cfg.update(max_iters=4, val_interval=2)
default_hooks.update(
    logger=dict(interval=2), checkpoint=dict(interval=1, max_keep_ckpts=9, save_best='mIoU')
)
custom_hooks = [dict(type='EMAHook', momentum=0.1)]
optim_wrapper = dict(clip_grad=dict(max_norm=1.0), accumulative_counts=2)
model['local'].update(update='module', process_timeout=10)
"""
LOST = """
custom_imports = dict(imports=['mmseg_infopro', 'losing'], allow_failed_imports=False)
custom_hooks.append(dict(type='LosingHook', what='{what}'))
"""
LOSING_HOOK = """
import os, signal, time
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

@HOOKS.register_module()
class LosingHook(Hook):
    def __init__(self, what):
        self.what = what
    def before_train_iter(self, runner, *args, **kwargs):
        if runner.rank == 1 and runner.iter == 3:
            layer = runner.model.module.backbone.layer4[0]
            layer.register_forward_pre_hook(lambda *_: self.lose())
    def lose(self):
        if self.what == 'killed':
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == 'hung':
            time.sleep(1000)
        raise MemoryError('out of it')
"""
TIMES = 'time', 'data_time'
SAID = {
    'killed': ['process 1, which trains local module 1, has ended'],
    'hung': ['process 1, which trains local module 1, has not answered for 10 s'],
    'out of memory': ["the host's memory does not suffice: out of it"],
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def check_same_file(one: Path, other: Path) -> None:
    first, second = (check_checkpoint(path, for_resume=True) for path in (one, other))
    assert first.keys() == second.keys()
    for key in first.keys() - {'meta', 'message_hub'}:
        assert same(first[key], second[key]), key
    logs = [checkpoint['message_hub']['log_scalars'] for checkpoint in (first, second)]
    assert logs[0].keys() == logs[1].keys()
    for name in logs[0].keys() - {f'{mode}/{t}' for mode in ('train', 'val') for t in TIMES}:
        values = [log[name].data[0].tolist() for log in logs]
        assert values[0] == values[1], name
    assert 'val/mIoU' in logs[0] or first['meta']['iter'] <= 2


@pytest.mark.campaign
@pytest.mark.parametrize('what', ['killed', 'hung', 'out of memory'])
def test_a_lost_process_ends_all_and_another_placement_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('tests.parallel.test_killed_process.TIMEOUT', 180)
    streets = tmp_path / 'streets'
    write_streets(streets, StreetSettings(train=4, val=2, height=64, width=128))
    prepare_tree(inspect_tree(streets).frames)
    (tmp_path / 'losing.py').write_text(LOSING_HOOK)
    config = write_config(tmp_path, streets, RUN)
    losing = write_config(tmp_path, streets, RUN + LOST.format(what=what), 'losing_run')

    outcome = train(losing, '--placement', 'pipeline')
    assert outcome.returncode != 0
    errors = [line for line in outcome.stderr.splitlines() if line.startswith('error: ')]
    for sentence in SAID[what]:
        assert sum(sentence in error for error in errors) == 1, outcome.stderr
    assert 'Traceback' not in outcome.stderr
    assert not (tmp_path / 'run/iter_4.pth').exists()

    assert run_tool('train', config, '--work-dir', 'alone') == 0
    assert run_tool('train', config, '--work-dir', 'run', '--resume') == 0
    for iteration in (1, 2, 3, 4):
        check_same_file(
            tmp_path / f'run/iter_{iteration}.pth', tmp_path / f'alone/iter_{iteration}.pth'
        )
    best = [
        [file.name for file in run.glob('best_*')] for run in (tmp_path / 'run', tmp_path / 'alone')
    ]
    assert best[0] == best[1] != []
