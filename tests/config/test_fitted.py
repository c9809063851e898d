"""A resolved config holds what its fitted heads got, and needs no later code to know it."""

from dataclasses import replace

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.build import build_end_to_end
from mmseg_infopro.config.fit_cap import measure_config
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.local.infopro_heads import default_heads
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.planning.batch import StepShape
from mmseg_infopro.planning.boundaries import module_peaks, plan_boundaries
from mmseg_infopro.planning.unit_costs import measure_step
from mmseg_infopro.report.baselines import E2E, end_to_end_forms
from tests.models import build, model_config

BOUNDARIES = ['layer1.1', 'layer2.1', 'layer3.0']


def config(heads='fitted', **local):
    cfg = Config(
        dict(
            model=model_config(local=dict(boundaries=BOUNDARIES, **local)),
            train_dataloader=dict(batch_size=2),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        )
    )
    cfg.model.local.heads = heads
    return cfg


def test_a_resolved_config_rebuilds_the_same_model_without_a_fit(monkeypatch):
    cfg = config()
    resolved = resolve(cfg)
    assert [list(head.fitted) for head in resolved.model.local.heads] == [BOUNDARIES] * 2
    shapes = [
        {name: tensor.shape for name, tensor in build(model).state_dict().items()}
        for model in (cfg.model, resolved.model)
    ]
    assert shapes[0] == shapes[1]
    monkeypatch.setattr('mmseg_infopro.local_heads.filling.fit', None)
    again = Config.fromstring(resolved.pretty_text, '.py')
    assert resolve(again).model.local.heads == resolved.model.local.heads
    build(again.model)


def test_another_partition_is_fitted_anew_where_it_must():
    resolved = resolve(config())
    other = resolve(localize(resolved, boundaries=['layer2.1', 'layer3.1'])).model.local.heads
    assert list(other[0].fitted) == ['layer2.1', 'layer3.1']
    assert other[0].fitted['layer2.1'] == resolved.model.local.heads[0].fitted['layer2.1']


def test_each_border_is_a_line_of_the_log(monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger, 'info', lambda self, line, *args: lines.append(line))
    resolve(config())
    told = [line for line in lines if 'FittedTaskHead' in line]
    assert [line.partition(':')[0] for line in told] == BOUNDARIES
    assert all("of the backbone's FLOPs" in line and 'at stride' in line for line in told)


def test_heads_at_some_modules_are_fitted_there():
    heads = [dict(type='FittedTaskHead', at=[0, 1]), dict(type='FittedReconstructionHead', at=[2])]
    resolved = resolve(config(heads)).model.local.heads
    assert [list(head.fitted) for head in resolved] == [BOUNDARIES[:2], BOUNDARIES[2:]]


def test_the_papers_heads_stay():
    assert resolve(config('paper')).model.local.heads == 'paper'
    heads = build(config('paper').model).border_heads(0)
    assert [type(head).__name__ for head in heads] == ['FCNHead', 'ReconstructionHead']


def test_another_word_is_refused():
    with pytest.raises(ValueError, match='heads must be fitted or paper, or a list of heads, got'):
        resolve(config('fited'))
    with pytest.raises(ValueError, match='heads must be fitted or paper'):
        localize(config(), 2, heads='papers')


def test_four_modules_cost_at_most_3_percent_and_heads_are_no_peak():
    cfg = read_config('mmseg::_base_/models/stdc.py')
    cfg.model.data_preprocessor.size = (128, 256)
    cfg.train_dataloader = dict(batch_size=2)
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
    end_to_end = dry_config_step(end_to_end_forms(cfg)[E2E])
    local = localize(cfg, 4)
    assert dry_config_step(resolve(local)).flops <= 1.03 * end_to_end.flops
    model = build_end_to_end(local)
    shape = StepShape(2, (128, 256))
    step = measure_step(model, default_heads(), model.head_defaults(), shape)
    headless = replace(step, units=tuple(replace(unit, heads=0) for unit in step.units))
    boundaries = plan_boundaries(step, 4)
    assert max(module_peaks(step, boundaries)) == max(module_peaks(headless, boundaries))


def test_a_module_that_may_thaw_is_fitted_and_planned_for():
    frozen = config(may_thaw=['backbone.layer1', 'backbone.stem'])
    frozen.model.backbone.frozen_stages = 1
    assert [list(h.fitted) for h in resolve(frozen).model.local.heads] == [BOUNDARIES] * 2
    settings = read_local_settings(frozen.model.local)
    thawed = measure_config(frozen, settings)
    frozen.model.local.pop('may_thaw')
    as_it_is = measure_config(frozen, read_local_settings(frozen.model.local))
    assert thawed.units[0].gradients > as_it_is.units[0].gradients == 0
    frozen.model.local.may_thaw = ['backbone.layer1', 'backbone.stem']
    unfrozen = dry_config_step(config()).peak
    assert dry_config_step(frozen).peak.gradients == unfrozen.gradients
