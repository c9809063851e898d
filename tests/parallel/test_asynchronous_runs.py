"""Runs with one artificially slow process: the exact pipeline beside the asynchronous one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.device import get_device

from mmseg_infopro.datasets.cityscapes_tree import inspect_tree, prepare_tree
from mmseg_infopro.datasets.streets import StreetSettings, write_streets
from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.parallel.slow_process import SLOW_HOOK, figures
from tests.parallel.test_killed_process import train
from tests.tools.conftest import write_config

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(get_device() != 'cpu', reason='there is an accelerator'),
]

ITERATIONS = 200
STALENESS = 4
RUN = """
custom_imports = dict(imports=['mmseg_infopro', 'slow'], allow_failed_imports=False)
custom_hooks = [dict(type='SlowHook', process={process}, seconds=0.2)]
train_cfg.update(max_iters={iterations}, val_interval={iterations})
default_hooks.update(logger=dict(interval=50), checkpoint=dict(interval={iterations}))
model['local'].update(in_flight=1, process_timeout=60)
"""
LOST = """
custom_imports = dict(imports=['mmseg_infopro', 'slow'], allow_failed_imports=False)
custom_hooks = [dict(type='SlowHook', process={process}, seconds=1000, first=3)]
train_cfg.update(max_iters=20)
default_hooks.update(logger=dict(interval=20), checkpoint=dict(interval=2))
model['local'].update(process_timeout=10, placement='pipeline', staleness=3)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('tests.parallel.test_killed_process.TIMEOUT', 300)
    write_streets(tmp_path / 'streets', StreetSettings(train=32, val=8, height=64, width=128))
    prepare_tree(inspect_tree(tmp_path / 'streets').frames)
    (tmp_path / 'slow.py').write_text(SLOW_HOOK)
    return tmp_path


def speed(run: Path) -> tuple[float, float]:
    """Return iterations per second, and the mIoU in percent."""
    times, (miou,) = figures(run)
    return len(times) / sum(times), miou


@pytest.mark.parametrize('process', [0, 1])
def test_a_slow_process_holds_up_the_exact_form_only(folder: Path, process: int) -> None:
    text = RUN.format(process=process, iterations=ITERATIONS)
    config = write_config(folder, folder / 'streets', text)
    found = {}
    for staleness in (0, STALENESS):
        setting = f'model.local.staleness={staleness}'
        outcome = train(config, '--placement', 'pipeline', '--cfg-options', setting)
        assert outcome.returncode == 0, outcome.stderr
        found[staleness] = speed(folder / 'run')
        print(f'\nslow process {process}, staleness {staleness}: ', end='')
        print('{:.2f} iterations/s, mIoU {:.2f}'.format(*found[staleness]))
        for line in re.findall('iterations of local module.*', outcome.stdout):
            print(line)
        (folder / 'run').rename(folder / f'run_{staleness}')
    assert found[STALENESS][0] > 1.5 * found[0][0]


def test_a_checkpoint_goes_on_in_either_form(folder: Path) -> None:
    config = write_config(folder, folder / 'streets', RUN.format(process=0, iterations=6))
    stale = '--placement', 'pipeline', '--cfg-options', f'model.local.staleness={STALENESS}'
    assert train(config, *stale).returncode == 0
    config = write_config(folder, folder / 'streets', RUN.format(process=0, iterations=12))
    outcome = train(config, *stale, '--resume')
    assert outcome.returncode == 0, outcome.stderr
    assert 'iterations of local module 1' in outcome.stdout
    saved = [check_checkpoint(folder / f'run/iter_{n}.pth', for_resume=True) for n in (6, 12)]
    assert saved[0]['state_dict'].keys() == saved[1]['state_dict'].keys()
    for name in ('backbone.layer1.0.conv1.weight', 'decode_head.conv_seg.weight'):
        weights = [checkpoint['state_dict'][name] for checkpoint in saved]
        assert not torch.equal(*weights)
    config = write_config(folder, folder / 'streets', RUN.format(process=0, iterations=14))
    assert train(config, '--resume').returncode == 0
    assert (folder / 'run/iter_14.pth').exists()


@pytest.mark.parametrize('process', [0, 1])
def test_a_hung_process_is_named(folder: Path, process: int) -> None:
    config = write_config(folder, folder / 'streets', LOST.format(process=process))
    outcome = train(config)
    assert outcome.returncode != 0
    said = f'process {process}, which trains local module {process}, has not answered for 10 s'
    assert outcome.stderr.count(said) == 1
    assert 'Traceback' not in outcome.stderr
