"""What cannot be a pipeline is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from mmseg_infopro.config.own_hooks import use_own_hooks
from mmseg_infopro.parallel import (
    check_pipeline_config,
    choose_model_wrapper,
    load_same_samples,
    pipeline_config,
)
from mmseg_infopro.parallel.pipeline_checks import check_optimizer, check_spreads, check_world
from tests.cpu_amp import CpuAmpOptimWrapper, CpuLocalAmpOptimWrapper
from tests.local.by_formula import RESNET
from tests.models import HEADS, build, model_config

CONFIG: dict[str, Any] = dict(
    model=dict(type='InfoProEncoderDecoder', local=dict(num_modules=4, placement='pipeline')),
    launcher='pytorch',
    optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
    train_dataloader=dict(sampler=dict(type='InfiniteSampler'), dataset=dict(type='Any')),
    val_dataloader=dict(sampler=dict(type='DefaultSampler', shuffle=False)),
    val_cfg=dict(type='ValLoop'),
)


@pytest.mark.parametrize(
    ('num_modules', 'world', 'message'),
    [
        (1, 4, 'at least 2 local modules, got K=1'),
        (4, 1, 'got 4 modules and 1 process; valid: 4, 8'),
        (4, 3, 'got 4 modules and 3 processes'),
        (4, 6, 'a multiple of its 4 local modules as processes, got 6; valid: 4 or 8'),
    ],
)
def test_processes_that_do_not_fit(num_modules: int, world: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_world(num_modules, world)
    check_world(2, 4)


def test_rows_do_not_go_with_staleness() -> None:
    with pytest.raises(ValueError, match='got 4 processes for 2 modules; valid: 2, or'):
        check_world(2, 4, staleness=1)
    check_world(2, 2, staleness=1)


def resnet(**local: Any) -> Any:
    return build(model_config(local=dict(boundaries=RESNET[3], **local)))


MOMENTUM = dict(type='MomentumHead', head=HEADS[0], unit='next')


@pytest.mark.parametrize(
    ('local', 'message'),
    [
        (dict(schedule=dict(type='Overlapping')), r'\(Overlapping\) .* 0 to 1'),
        (dict(schedule=dict(type='PeriodicGlobal', period=2)), 'passes of modules 0 to 2'),
        (dict(schedule=dict(type='DeepSupervision')), r'\(DeepSupervision\) cannot be spread'),
        (dict(schedule=dict(type='Sequential', max_iters=9)), r'0, 1 \(frozen\)|passes of modules'),
        (dict(heads=[MOMENTUM]), 'MomentumHead of module 0 follows weights of later modules'),
    ],
)
def test_methods_that_cannot_be_spread(local: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_spreads(resnet(**local))


def test_a_model_that_can_be_spread_is_not_refused() -> None:
    check_spreads(resnet())


def test_a_frozen_module_would_be_idle() -> None:
    cfg = model_config(local=dict(boundaries=['layer1.1', 'layer2.1']))
    cfg['backbone']['frozen_stages'] = 1
    with pytest.raises(ValueError, match='local module 0 is frozen, and its process would be idle'):
        check_spreads(build(cfg))


def test_parameters_of_several_modules_are_of_no_process() -> None:
    model = resnet()
    model.decode_head.conv_seg = model.local_heads['layer1-1'][0].conv_seg
    with pytest.raises(ValueError, match='have several names and may be of several'):
        check_spreads(model)


def wrapped(cls: Any, **kwargs: Any) -> Any:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    return cls(optimizer=optimizer, **kwargs)


CLIP = dict(clip_grad=dict(max_norm=1.0))


@pytest.mark.parametrize(
    ('local', 'wrapper', 'message'),
    [
        ({}, wrapped(OptimWrapper, **CLIP), 'clip_grad takes one norm over the whole model'),
        (
            dict(update_per_module=True),
            wrapped(OptimWrapper, **CLIP),
            "set model.local.update='module'",
        ),
        ({}, wrapped(CpuLocalAmpOptimWrapper), 'takes one scale over the whole model'),
        ({}, OptimWrapperDict(one=wrapped(OptimWrapper)), 'needs one optimizer, got OptimWrapperD'),
        (
            {},
            OptimWrapper(torch.optim.LBFGS([nn.Parameter(torch.zeros(1))])),
            'does not go with the optimizer LBFGS',
        ),
    ],
)
def test_updates_of_all_modules_together(local: Any, wrapper: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_optimizer(resnet(**local), wrapper)


def test_accumulation_does_not_go_with_staleness(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = wrapped(OptimWrapper, accumulative_counts=2)
    message = 'accumulative_counts=1 or local.staleness=0, got 2 and 3'
    with pytest.raises(ValueError, match=message):
        check_optimizer(resnet(), counted, staleness=3)
    monkeypatch.setattr(pipeline_config, 'get_world_size', lambda: 4)
    cfg = Config(CONFIG)
    cfg.model.local.staleness = 3
    check_pipeline_config(cfg)
    cfg.optim_wrapper.accumulative_counts = 2
    with pytest.raises(ValueError, match=message):
        check_pipeline_config(cfg)


def test_updates_of_one_module_are_not_refused() -> None:
    check_optimizer(resnet(), wrapped(OptimWrapper, accumulative_counts=2))
    check_optimizer(resnet(update='module'), wrapped(OptimWrapper, **CLIP))
    check_optimizer(resnet(update='module'), wrapped(CpuLocalAmpOptimWrapper, **CLIP))
    check_optimizer(resnet(), wrapped(CpuAmpOptimWrapper, loss_scale=dict(enabled=False)))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'launcher': 'none'}, '--launcher none is one'),
        ({'model.local.num_modules': 1}, 'got K=1'),
        ({'model.local.num_modules': 5}, 'got 5 modules and 4 processes'),
        ({'model.local.num_modules': 3}, 'a multiple of its 3 local modules'),
        ({'optim_wrapper.clip_grad': dict(max_norm=1)}, 'takes one norm'),
        ({'optim_wrapper.type': 'AmpOptimWrapper'}, 'takes one scale'),
        ({'auto_scale_lr': dict(enable=True)}, 'auto_scale_lr counts every process'),
        ({'train_dataloader.sampler.type': 'DefaultSampler'}, "got 'DefaultSampler'"),
        ({'train_dataloader.batch_sampler': dict(type='BatchSampler')}, 'without a batch_sampler'),
        ({'val_dataloader.sampler.type': 'InfiniteSampler'}, "got 'InfiniteSampler'"),
        ({'val_dataloader.batch_sampler': dict(type='BatchSampler')}, 'without a batch_sampler'),
        ({'custom_hooks': [dict(type='PicturesHook')]}, r'PicturesHook \(--pictures\) draws'),
        (
            {'default_hooks': dict(visualization=dict(type='SegVisualizationHook', draw=True))},
            r'SegVisualizationHook\(draw=True\) draws predictions in the main process',
        ),
        ({'val_cfg.type': 'MultiValLoop'}, "needs val_cfg.type='ValLoop'.* got 'MultiValLoop'"),
    ],
)
def test_configs_are_refused_before_anything_is_planned(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(pipeline_config, 'get_world_size', lambda: 4)
    cfg = Config(CONFIG)
    check_pipeline_config(cfg)
    cfg.merge_from_dict(changes)
    with pytest.raises(ValueError, match=message):
        check_pipeline_config(cfg)
    cfg.model.local.placement = 'replicate'
    check_pipeline_config(cfg)


def test_float16_and_clipping_of_each_module_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_config, 'get_world_size', lambda: 4)
    cfg = Config(CONFIG)
    cfg.model.local['update'] = 'module'
    cfg.optim_wrapper = dict(type='AmpOptimWrapper', clip_grad=dict(max_norm=1))
    check_pipeline_config(cfg)
    cfg.model.local['update'] = 'step'
    cfg.optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=1.0)
    check_pipeline_config(cfg)


def test_other_configs_elsewhere_are_refused_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_config, 'get_world_size', lambda: 4)
    other = 'something else', False
    monkeypatch.setattr(pipeline_config, 'all_gather_object', lambda own: [own, own, other, own])
    with pytest.raises(ValueError, match='process 2 has another one than process 0'):
        check_pipeline_config(Config(CONFIG))


def test_all_processes_of_a_pipeline_load_the_same() -> None:
    cfg = Config(CONFIG)
    cfg.model.local = dict(boundaries=['a', 'b'], placement='pipeline')
    load_same_samples(cfg)
    loader = cfg.train_dataloader
    assert loader.sampler == dict(type='StreamSampler', processes_per_sample=3)
    assert loader.dataset == dict(type='SeededDataset', dataset=dict(type='Any'))
    rows = dict(type='RowSampler', shuffle=False, processes_per_sample=3)
    assert cfg.val_dataloader.sampler == rows
    load_same_samples(cfg)
    assert loader.dataset.dataset == dict(type='Any')
    assert cfg.val_dataloader.sampler == rows
    cfg = Config(CONFIG)
    cfg.model.local.placement = 'replicate'
    load_same_samples(cfg)
    assert cfg.train_dataloader == CONFIG['train_dataloader']


def test_the_config_that_a_pipeline_has_dumped_runs_anywhere() -> None:
    cfg = Config(CONFIG)
    cfg.model.local = dict(boundaries=['a', 'b'], placement='pipeline')
    load_same_samples(cfg)
    choose_model_wrapper(cfg, 'pytorch')
    use_own_hooks(cfg)
    assert cfg.model_wrapper_cfg.type == 'ModuleParallel'
    assert cfg.default_hooks.runtime_info.type == 'PipelineInfoHook'
    cfg.model.local.placement = 'replicate'
    load_same_samples(cfg)
    choose_model_wrapper(cfg, 'pytorch')
    use_own_hooks(cfg)
    assert cfg.train_dataloader.sampler == dict(type='StreamSampler')
    assert cfg.val_dataloader == CONFIG['val_dataloader']
    assert cfg.model_wrapper_cfg == dict(type='LocalDataParallel')
    assert cfg.default_hooks.runtime_info.type == 'RuntimeInfoHook'
