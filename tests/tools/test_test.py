from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mmseg_infopro.commands.test import write_metrics
from mmseg_infopro.config.read import choose_work_dir, read_config
from mmseg_infopro.run.evaluation import prepare_testing
from tests.tools.conftest import Run, Trained, metrics_file, write_config


def evaluate(run: Run, trained: Trained, *args: object) -> dict[str, Any]:
    outcome = run('test', trained.config, trained.checkpoint, '--work-dir', 'run', *args)
    assert outcome.status == 0, outcome.err
    return json.loads(metrics_file(outcome).read_text())


@pytest.mark.parametrize(
    ('args', 'mode'), [((), 'single-scale'), (('--tta', 'ms'), 'ms'), (('--tta',), 'ms-flip')]
)
def test_metrics_are_written(trained: Trained, run: Run, args: tuple[str, ...], mode: str) -> None:
    content = evaluate(run, trained, *args)
    assert content['config'] == str(trained.config)
    assert content['checkpoint'] == str(trained.checkpoint)
    assert content['mode'] == mode
    assert content['metrics'].keys() == {'aAcc', 'mIoU', 'mAcc'}
    assert all(0 <= value <= 100 for value in content['metrics'].values())


def test_metrics_lie_beside_the_log(trained: Trained, run: Run) -> None:
    evaluate(run, trained)
    (out,) = Path('run').rglob('metrics.json')
    assert (out.parent / f'{out.parent.name}.log').is_file()
    assert out.parent.parent == Path('run')


def test_a_table_is_printed(trained: Trained, run: Run) -> None:
    out = 'elsewhere/numbers.json'
    outcome = run('test', trained.config, trained.checkpoint, '--out', out)
    assert metrics_file(outcome) == Path(out)
    metrics = json.loads(Path(out).read_text())['metrics']
    (row,) = [line for line in outcome.out.splitlines() if '\u2502 mIoU' in line]
    assert f'{metrics["mIoU"]:.2f}' in row


def test_the_partition_plays_no_part(trained: Trained, run: Run) -> None:
    wanted = evaluate(run, trained)['metrics']
    for partition in ('num_modules=3', 'memory_cap=1B', 'boundaries=[layer3.1]'):
        content = evaluate(run, trained, '--cfg-options', f'model.local.{partition}')
        assert content['metrics'] == wanted


def test_the_training_runs_config_stays(trained: Trained, run: Run, tmp_path: Path) -> None:
    work_dir = shutil.copytree(trained.work_dir, tmp_path / 'run')
    before = (work_dir / trained.config.name).read_text()
    evaluate(run, trained)
    assert (work_dir / trained.config.name).read_text() == before
    assert (work_dir / f'test_{trained.config.name}').is_file()


@pytest.mark.parametrize(
    ('config', 'name'),
    [
        ('repo/configs/streets/small.py', 'streets/small'),
        ('configs/main.py', 'main'),
        ('configs/old/configs/streets/small.py', 'streets/small'),
        ('experiments/small.py', 'small'),
        ('small.py', 'small'),
    ],
)
def test_work_dirs_of_equal_file_names_differ(tmp_path: Path, config: str, name: str) -> None:
    path = tmp_path / config
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    cfg = Config.fromfile(path)
    choose_work_dir(cfg, None)
    assert cfg.work_dir == f'work_dirs/{name}'


@pytest.mark.parametrize(('mode', 'flips'), [('ms', [False]), ('ms-flip', [False, True])])
def test_views_are_the_papers(trained: Trained, mode: str, flips: list[bool]) -> None:
    cfg = read_config(str(trained.config))
    choose_work_dir(cfg, 'unused')
    cfg = prepare_testing(cfg, str(trained.checkpoint), mode)
    (views,) = [t for t in cfg.test_dataloader.dataset.pipeline if t.type == 'TestTimeAug']
    scales, mirrors, *_ = views.transforms
    assert [scale.scale_factor for scale in scales] == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    assert [bool(mirror.prob) for mirror in mirrors] == flips
    assert cfg.model.type == 'SegTTAModel'


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    write_metrics(tmp_path / 'a.json', dict(metrics=dict(a=math.nan, b=1)))
    assert json.loads((tmp_path / 'a.json').read_text()) == {'metrics': {'a': None, 'b': 1.0}}


def test_a_checkpoint_of_another_model_is_refused(trained: Trained, run: Run) -> None:
    wide = 'model.decode_head.channels=16'
    error = run('test', trained.config, trained.checkpoint, '--cfg-options', wide).error
    assert 'iter_2.pth does not fit the model of the config' in error
    assert 'weights have another shape, first decode_head.conv_seg.weight is (19, 8, 1, 1)' in error
    deep = 'model.backbone.depth=34'
    error = run('test', trained.config, trained.checkpoint, '--cfg-options', deep).error
    assert "of the model's weights, first backbone.layer1.2.conv1.weight" in error


def test_hostile_checkpoints_are_not_run(trained: Trained, hostile: Path, run: Run) -> None:
    assert 'contains pickled code (posix.system)' in run('test', trained.config, hostile).error
    assert not (hostile.parent / 'trace').exists()


def test_damaged_checkpoints_are_named(trained: Trained, cut_off: Path, run: Run) -> None:
    assert f'{cut_off} is damaged' in run('test', trained.config, cut_off).error


@pytest.mark.parametrize(
    ('more', 'args', 'sentence'),
    [
        ('test_dataloader = None', (), 'the config has no test_dataloader'),
        ('tta_model = None', ('--tta',), '--tta needs tta_model, which the config lacks'),
        ("tta_pipeline = [dict(type='LoadCheckedImage')]", ('--tta',), 'one TestTimeAug, got 0'),
    ],
)
def test_incomplete_configs(
    trained: Trained,
    streets: Path,
    run: Run,
    tmp_path: Path,
    more: str,
    args: tuple[str, ...],
    sentence: str,
) -> None:
    config = write_config(tmp_path, streets, more)
    assert sentence in run('test', config, trained.checkpoint, *args).error


def test_missing_data_is_named(trained: Trained, run: Run, tmp_path: Path) -> None:
    config = write_config(tmp_path, tmp_path / 'no_streets')
    assert 'no_streets does not exist' in run('test', config, trained.checkpoint).error


def test_only_test_data_is_looked_at(trained: Trained, run: Run, tmp_path: Path) -> None:
    nowhere = 'train_dataloader.dataset.dataset.data_root=nowhere'
    outcome = run('test', trained.config, trained.checkpoint, '--cfg-options', nowhere)
    assert outcome.status == 0, outcome.err


def test_wrappers_prefix_is_understood(trained: Trained, run: Run, tmp_path: Path) -> None:
    weights = torch.load(trained.checkpoint, weights_only=False)['state_dict']
    torch.save({f'module.{name}': weight for name, weight in weights.items()}, 'wrapped.pth')
    assert run('test', trained.config, 'wrapped.pth').status == 0
