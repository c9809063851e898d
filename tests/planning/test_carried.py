"""Tensors that units pass on as they are: held once, however many states have them."""

import pytest
from mmengine.config import Config

from mmseg_infopro.config.edit import override_step, set_partition, set_recompute
from mmseg_infopro.config.fit_cap import measure_config
from mmseg_infopro.config.localize import localize
from mmseg_infopro.config.objective import objective_of
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.local.settings import read_local_settings

CGNET = 'mmseg::cgnet/cgnet_fcn_4xb4-60k_cityscapes-680x680.py'


@pytest.fixture(scope='module')
def cgnet():
    """Its first units pass on the image at two strides, later ones what a stage starts with."""
    cfg = localize(CGNET, 2)
    override_step(cfg, 4, (512, 512))
    cfg.model.local.recompute = 'auto'
    settings = read_local_settings(cfg.model.local)
    return cfg, measure_config(cfg, settings), objective_of(cfg, settings)


def test_what_is_passed_on_as_it_is_is_found(cgnet):
    _, step, _ = cgnet
    carried = {unit.name: unit.carried for unit in step.units}
    half, quarter = (4 * 3 * size**2 * 4 for size in (256, 128))
    assert carried['stem.0'] == ()
    assert carried['stem.1'] == (half + quarter,)
    assert carried['stem.2'] == (quarter, quarter)
    first = 4 * 64 * 128**2 * 4  # of the stage: later blocks' output is joined with it
    assert carried['level1.1'] == (first + quarter, quarter, quarter, quarter)


def test_the_smallest_plan_is_hardly_above_its_dry_step(cgnet):
    cfg, step, objective = cgnet
    low, high = 0, 1 << 32
    while high - low > 1 << 12:
        middle = (low + high) // 2
        fits = objective.plan_recompute(step, 2, middle) is not None
        low, high = (low, middle) if fits else (middle, high)
    plan = objective.plan_recompute(step, 2, high)
    trial = Config(cfg.to_dict())
    set_partition(trial, boundaries=list(plan.boundaries))
    set_recompute(trial, plan.groups)
    assert 0.93 < dry_config_step(trial).peak.total / high < 1.005
