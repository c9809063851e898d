"""What is checked before a Runner exists, in which order, and by which process."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.device import get_device

from mmseg_infopro.run import training
from mmseg_infopro.run.training import check_partition, prepare_training
from tests.models import build, model_config
from tests.parallel.processes import run_processes


def config(folder: Path, **content: Any) -> Config:
    return Config(
        dict(
            model=model_config(local=dict(num_modules=2)),
            work_dir=str(folder),
            train_dataloader=dict(batch_size=2),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=1),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
            **content,
        )
    )


MISSING = dict(type='CamVidDataset', data_root='no/such/tree', data_prefix=dict(img_path='images'))
SYNC = dict(type='SyncBN', requires_grad=True)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(work_dir='used'), 'already holds the checkpoints of a run'),
        (dict(load_from='no.pth'), 'checkpoint no.pth is neither a file'),
        (dict(model=dict(pretrained='no.pth')), 'checkpoint no.pth is neither a file'),
        (dict(train_dataloader=dict(dataset=MISSING)), 'no/such/tree'),
        pytest.param(
            dict(launcher='pytorch', model=dict(backbone=dict(norm_cfg=SYNC))),
            'SyncBN in model.backbone.norm_cfg needs GPUs',
            marks=pytest.mark.skipif(get_device() != 'cpu', reason='there is an accelerator'),
        ),
    ],
)
def test_what_takes_moments_is_checked_before_planning(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, 'resolve', lambda cfg: pytest.fail('planned first'))
    monkeypatch.chdir(tmp_path)
    Path('used').mkdir()
    Path('used/iter_1.pth').touch()
    cfg = config(tmp_path)
    cfg.merge_from_dict(changes)
    with pytest.raises(ValueError, match=message):
        prepare_training(cfg, resume=False)


@pytest.mark.parametrize(
    ('restarted', 'message'),
    [(False, 'already holds best_mIoU_iter_2.pth'), (True, 'checkpoint no.pth is neither a file')],
)
def test_a_best_checkpoint_does_not_keep_a_restarted_run_from_its_start(
    restarted: bool, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, 'continues_training', lambda: restarted)
    (tmp_path / 'best_mIoU_iter_2.pth').touch()
    with pytest.raises(ValueError, match=message):
        prepare_training(config(tmp_path, load_from='no.pth'), resume=False)


class TwoArgumentsError(ValueError):
    """Cannot be made from its text."""

    def __init__(self, message: str, more: object) -> None:
        super().__init__(message)


def raised(cfg: Config) -> str:
    try:
        prepare_training(cfg, resume=False)
    except ValueError as error:
        return str(error)
    return 'nothing'


def prepare_on(rank: int, folder: Path) -> dict[str, Any]:
    planned, resolve = [], training.resolve

    def plan(cfg: Config) -> Config:
        planned.append(cfg)
        return resolve(cfg)

    def fail(cfg: Config) -> Config:
        raise TwoArgumentsError('nothing fits', cfg)

    training.resolve = plan
    boundaries = prepare_training(config(folder), resume=False).model.local.boundaries
    training.resolve = fail
    broken = config(folder, load_from='no.pth') if rank == 1 else config(folder)
    errors = [raised(config(folder)), raised(broken)]
    return dict(boundaries=list(boundaries), num_planned=len(planned), errors=errors)


def test_one_process_plans_for_all_and_all_raise_its_error(tmp_path: Path) -> None:
    main, other = run_processes(tmp_path, prepare_on, tmp_path)
    assert (main['num_planned'], other['num_planned']) == (1, 0)
    assert len(main['boundaries']) == 1
    assert main['boundaries'] == other['boundaries']
    assert main['errors'] == other['errors']
    assert main['errors'][0] == 'nothing fits'
    assert 'checkpoint no.pth is neither a file' in main['errors'][1]


@pytest.mark.parametrize(
    ('frozen_stages', 'theirs', 'fits'),
    [
        (-1, ['layer1.1', 'layer2.1'], True),
        (-1, ['layer2.1'], False),
        (1, ['layer2.1'], True),
        (1, ['layer1.1', 'layer2.1'], False),
        (2, [], True),
        (2, ['layer2.1'], False),
    ],
)
def test_a_checkpoint_is_of_the_partition_if_the_model_loads_it(
    frozen_stages: int, theirs: list[str], fits: bool
) -> None:
    cfg = Config(dict(model=model_config(local=dict(boundaries=['layer1.1', 'layer2.1']))))
    cfg.model.backbone.frozen_stages = frozen_stages
    cfg.load_from = 'a.pth'
    weights = build(model_config(local=dict(boundaries=theirs))).state_dict()
    model = build(cfg.model)
    for check in (
        lambda: check_partition(cfg, model, weights),
        lambda: model.load_state_dict(dict(weights), strict=False),
    ):
        with nullcontext() if fits else pytest.raises(ValueError, match='is of the partition'):
            check()
