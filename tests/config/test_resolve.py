"""From a config with a wish to a config with boundaries."""

import random
from copy import deepcopy
from itertools import combinations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmseg.registry import MODELS

from mmseg_infopro import resolve
from mmseg_infopro.backbones import InfoProResNetV1c, boundary_names
from mmseg_infopro.config.build import build_end_to_end
from mmseg_infopro.config.fit_cap import NothingFitsError, fit_cap
from mmseg_infopro.config.step import config_peak, dry_config_step
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.segmentors import InfoProEncoderDecoder
from tests.models import model_config


def config(local, train_dataloader=None):
    cfg = dict(
        model=model_config(local=local),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        train_dataloader=train_dataloader or {},
    )
    cfg['model']['data_preprocessor']['size'] = (256, 256)
    return Config(cfg)


BATCH = dict(batch_size=4)


@pytest.mark.parametrize('num_modules', [1, 2, 3, 9])
def test_num_modules_becomes_boundaries(num_modules):
    cfg = config(dict(num_modules=num_modules), BATCH)
    before = deepcopy(cfg.to_dict())
    resolved = resolve(cfg)
    assert len(resolved.model.local.boundaries) == num_modules - 1
    assert 'num_modules' not in resolved.model.local
    assert cfg.to_dict() == before, 'resolve changed its argument'
    assert MODELS.build(resolved.model).boundaries == tuple(resolved.model.local.boundaries)


def generator_states():
    return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


@pytest.mark.parametrize('local', [dict(num_modules=2), dict(memory_cap='1GB', memory_margin=0)])
def test_planning_draws_no_random_numbers(local):
    before = generator_states()
    resolve(config(local, BATCH))
    assert generator_states() == before


@pytest.mark.parametrize('local', [dict(num_modules=3), dict(boundaries=['layer1.1'])])
def test_a_model_is_traced_once(local, monkeypatch):
    calls = []
    for owner, name in ((InfoProEncoderDecoder, '__init__'), (InfoProResNetV1c, 'example_size')):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name), name, calls))
    resolve(config(local, BATCH))
    # Named boundaries are tried before the run: built once more, cut, which traces it.
    built = ['__init__'] * (2 if 'boundaries' in local else 1)
    assert sorted(calls) == [*built, 'example_size']


def counted(function, name, calls):
    def run(*args, **kwargs):
        calls.append(name)
        return function(*args, **kwargs)

    return run


def test_the_same_seed_gives_a_planned_partition_the_weights_of_a_given_one():
    torch.manual_seed(3)
    planned = MODELS.build(config(dict(num_modules=3)).model)
    torch.manual_seed(3)
    given = MODELS.build(config(dict(boundaries=list(planned.boundaries))).model)
    torch.testing.assert_close(planned.state_dict(), given.state_dict(), rtol=0, atol=0)


def test_given_boundaries_stay_and_need_no_batch():
    cfg = config(dict(boundaries=['layer2.1']))
    assert resolve(cfg).model.local.boundaries == ['layer2.1']


def test_a_plain_config_comes_back_as_it_is():
    cfg = config(None)
    assert resolve(cfg).to_dict() == cfg.to_dict()


def test_a_cap_gets_the_fewest_modules_that_fit():
    peaks = {}
    for num_modules in (1, 2):
        trial = resolve(config(dict(num_modules=num_modules), BATCH))
        peaks[num_modules] = config_peak(trial).total
    assert peaks[1] > peaks[2]
    for num_modules, cap in ((1, peaks[1]), (2, peaks[1] - 1), (2, peaks[2])):
        resolved = resolve(config(dict(memory_cap=cap, memory_margin=0), BATCH))
        assert len(resolved.model.local.boundaries) == num_modules - 1
        assert config_peak(resolved).total <= cap


def test_a_cap_is_found_beyond_a_larger_peak_of_fewer_modules():
    # Two modules need more than three where heads at the stem's resolution are heavy.
    trials = {k: resolve(config(dict(num_modules=k), BATCH)) for k in (2, 3, 5)}
    peaks = {k: config_peak(trial).total for k, trial in trials.items()}
    smallest = min(peaks, key=peaks.get)
    resolved = resolve(config(dict(memory_cap=peaks[smallest], memory_margin=0), BATCH))
    assert config_peak(resolved).total <= peaks[smallest]


@pytest.mark.parametrize('num_modules', [2, 3])
def test_the_plan_is_nearly_as_good_as_the_best_dry_step(num_modules):
    names = boundary_names(build_end_to_end(config(dict(num_modules=1))).backbone)
    peaks = {}
    plan = tuple(resolve(config(dict(num_modules=num_modules), BATCH)).model.local.boundaries)
    # Of two boundaries every third pair: a dry step takes half a second.
    every = {2: 1, 3: 3}[num_modules]
    for boundaries in {plan, *list(combinations(names, num_modules - 1))[::every]}:
        peaks[boundaries] = config_peak(config(dict(boundaries=list(boundaries)), BATCH)).total
    assert peaks[plan] <= 1.05 * min(peaks.values())


def test_recomputing_what_the_cap_needs():
    plain = config_peak(resolve(config(dict(num_modules=1), BATCH))).total
    flops = []
    for share in (0.9, 0.8, 0.7):
        cap = int(share * plain)
        local = dict(memory_cap=cap, memory_margin=0, recompute='auto')
        resolved = resolve(config(local, BATCH))
        step = dry_config_step(resolved)
        assert step.peak.total <= cap
        flops.append((len(resolved.model.local.boundaries), step.flops))
        assert 'memory_cap' not in resolved.model.local
        assert resolve(resolved).model.local == resolved.model.local
    assert flops == sorted(flops), 'less memory was cheaper'


@pytest.mark.parametrize('cap', ['1MB', '25MB', '30MB'])
def test_what_was_asked_for_is_not_answered_with_fewer_modules(cap):
    cfg = config(dict(memory_cap=cap, memory_margin=0, recompute='auto'), BATCH)
    cfg.model.local.heads = [dict(type='FCNHead', channels=256, num_convs=2)]
    try:
        fit = fit_cap(cfg, read_local_settings(cfg.model.local), range(7, 8))
    except NothingFitsError as error:
        fit = error.smallest
    assert fit.num_modules == 7


def test_a_run_is_held_to_the_cap(monkeypatch):
    messages = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', messages.append)
    cfg = config(dict(memory_cap='2GiB'), BATCH)
    (hook,) = resolve(cfg).custom_hooks
    assert hook == dict(type='MemoryHook', memory_cap='2GiB', predicted_bytes=hook.predicted_bytes)
    assert hook.predicted_bytes == config_peak(resolve(cfg)).total
    cfg.custom_hooks = [dict(type='MemoryHook', memory_cap='3GiB', interval=7)]
    assert not messages
    cfg.model.local.memory_margin = 0
    (hook,) = resolve(cfg).custom_hooks
    assert (hook.memory_cap, hook.interval, hook.margin) == ('3GiB', 7, 0)
    assert "outside of torch's allocator, about 0.75GiB" in messages[0]


def test_more_modules_that_save_nothing_are_warned_of(monkeypatch):
    messages = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', messages.append)
    cfg = config(dict(num_modules=9), BATCH)
    cfg.model.local.heads = [dict(type='FCNHead', channels=256, num_convs=2)]
    resolve(cfg)
    assert any('num_modules=9 needs as much memory as num_modules=' in text for text in messages)


def test_a_segmentor_without_local_modules_is_named():
    cfg = config(dict(num_modules=2), BATCH)
    cfg.model.type = 'EncoderDecoder'
    with pytest.raises(ValueError, match=r"needs a segmentor .* got model.type='EncoderDecoder'"):
        resolve(cfg)


def test_a_backbone_setting_that_cannot_be_built_is_named():
    cfg = config(dict(num_modules=2), BATCH)
    cfg.model.backbone.depth = 17
    with pytest.raises(ValueError, match=r'model\.backbone: invalid depth 17'):
        resolve(cfg)


def test_an_unknown_precision_is_named():
    cfg = config(dict(num_modules=2), BATCH)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='fp16')
    with pytest.raises(ValueError, match="dtype must be float16 or bfloat16, got 'fp16'"):
        resolve(cfg)


def test_a_cap_that_nothing_fits_names_the_smallest_peak():
    with pytest.raises(
        NothingFitsError,
        match=r'memory_cap=1MB fits no partition: the smallest peak found is .* MiB with '
        r'num_modules=\d \(.* of activations, .*, in local module \d\), .*leaves .* for tensors',
    ):
        resolve(config(dict(memory_cap='1MB', memory_margin=1000), BATCH))


def test_a_cap_that_the_margin_uses_up_is_named():
    with pytest.raises(ValueError, match=r'must be above local.memory_margin=1.25GiB, got 1GiB'):
        resolve(config(dict(memory_cap='1GiB'), BATCH))


@pytest.mark.parametrize('cap', ['lots', '12 parsecs', '-1', '.', '11', 11])
def test_a_cap_that_is_no_size_is_named(cap):
    with pytest.raises(ValueError, match=f'a size must be a text|: {cap} what[?] say {cap}GiB'):
        resolve(config(dict(memory_cap=cap)))


def test_planning_without_a_batch_size_is_named():
    cfg = config(dict(num_modules=2))
    with pytest.raises(ValueError, match=r'needs train_dataloader\.batch_size'):
        resolve(cfg)


def test_planning_without_a_crop_is_named():
    cfg = config(dict(num_modules=2), BATCH)
    cfg.model.data_preprocessor.size = None
    with pytest.raises(ValueError, match='needs the training crop'):
        resolve(cfg)


def test_the_crop_is_read_off_the_pipeline_too():
    cfg = config(dict(num_modules=2), BATCH)
    expected = resolve(cfg).model.local.boundaries
    cfg.model.data_preprocessor.size = None
    pipeline = [dict(type='RandomCrop', crop_size=(256, 256))]
    cfg.train_dataloader.dataset = dict(type='SeededDataset', dataset=dict(pipeline=pipeline))
    assert resolve(cfg).model.local.boundaries == expected
