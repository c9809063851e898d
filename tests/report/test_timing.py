"""Real steps of configs."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config

from mmseg_infopro.planning.batch import StepShape
from mmseg_infopro.report.timing import random_batch, real_config_step, time_trials
from mmseg_infopro.report.ways import Method, methods_to_compare, plan_trials
from tests.models import NUM_CLASSES, model_config


def tiny(**local: object) -> Config:
    return Config(
        dict(
            model=model_config(local={'boundaries': ['layer2.0'], **local}),
            train_dataloader=dict(batch_size=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        )
    )


def test_a_batch_is_random_and_its_labels_are_classes() -> None:
    shape = StepShape(2, (32, 48), has_edges=True)
    batch, again = random_batch(shape, 5), random_batch(shape, 5)
    first, second = batch['inputs']
    assert first.dtype == torch.uint8
    assert not torch.equal(first, second)
    assert torch.equal(second, again['inputs'][1])
    for sample in batch['data_samples']:
        assert sample.gt_sem_seg.data.shape == (1, 32, 48)
        assert sample.gt_sem_seg.data.unique().tolist() == [0, 1, 2, 3, 4]
        assert sample.gt_edge_map.data.unique().tolist() == [0, 1]


def test_methods_start_from_the_same_weights() -> None:
    cut, whole, *_ = plan_trials(tiny(), [Method(None, 'units', None), Method(1, 'none', None)])
    steps = [real_config_step(trial.cfg, 'cpu') for trial in (cut, whole)]
    assert (len(steps[0].model.local_modules), len(steps[1].model.local_modules)) == (2, 0)
    weights = [dict(step.model.backbone.named_parameters()) for step in steps]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    labels = torch.stack([s.gt_sem_seg.data for s in steps[0].batch['data_samples']])
    assert labels.max() == NUM_CLASSES - 1


def test_methods_differ_as_they_say_and_nothing_is_compiled() -> None:
    cfg = tiny(recompute='units')
    cfg.compile = True
    methods = methods_to_compare(cfg, [1, 2, 2], ['none', 'cheap'])
    trials = {trial.way.word: trial.cfg for trial in plan_trials(cfg, methods)}
    assert list(trials)[:2] == ['e2e', 'with_cp']
    assert list(trials)[-2:] == ['local:2', 'local:2 cheap']
    for trial in trials.values():
        assert 'compile' not in trial
        assert 'compile' not in trial.model.local
    locals_ = [trials[name].model.local for name in ('e2e', 'local:2', 'local:2 cheap')]
    words = [local.get('recompute', 'none') for local in locals_]
    assert words == ['none', 'none', 'cheap']
    assert trials['with_cp'].model.backbone.with_cp is True
    assert not trials['local:2'].model.backbone.get('with_cp')
    assert cfg.compile is True


def test_cudnn_searches_where_the_config_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', False)
    trial, *_ = plan_trials(tiny(), [Method(1, 'none', None)])
    trial.cfg.env_cfg = dict(cudnn_benchmark=True)
    real_config_step(trial.cfg, 'cpu')
    assert torch.backends.cudnn.benchmark


@pytest.mark.cuda
def test_a_gpu_measures_its_memory() -> None:
    trials = plan_trials(tiny(), [Method(1, 'none', None)])
    for trial, times in zip(trials, time_trials(trials, 2, 2), strict=True):
        weights = 4 * sum(p.numel() for p in real_config_step(trial.cfg, 'cpu').model.parameters())
        assert times.timed
        assert times.allocated is not None
        assert times.reserved is not None
        assert weights < times.allocated <= times.reserved
