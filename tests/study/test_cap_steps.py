"""What fits a cap: the own step, then smaller batches, then smaller crops."""

from copy import deepcopy

import pytest
from mmengine.config import Config

from mmseg_infopro.config.step import config_peak, step_shape
from mmseg_infopro.report.way import parse_way
from mmseg_infopro.study.cap_schedule import iterations_for, rescheduled
from mmseg_infopro.study.cap_steps import fit_way, smaller_steps


def sizes(cfg):
    return [(step_shape(c).batch_size, step_shape(c).crop) for c in smaller_steps(cfg)]


def test_steps_shrink_in_batch_and_then_in_crop(cfg):
    assert sizes(cfg) == [(2, (32, 32)), (2, (64, 64)), (3, (64, 64)), (4, (64, 64))]


@pytest.mark.parametrize(('number', 'batch', 'crop'), [(2, 3, (64, 64)), (0, 2, (32, 32))])
def test_the_largest_step_within_the_cap_is_found(cfg, number, batch, crop):
    cap = config_peak(list(smaller_steps(cfg))[number]).total
    found = fit_way(cfg, parse_way('e2e'), cap)
    shape = step_shape(found.cfg)
    assert (found.fits, found.peak, shape.batch_size, shape.crop) == (True, cap, batch, crop)


def test_local_modules_keep_a_step_that_end_to_end_training_has_to_shrink(cfg):
    cap = int(0.8 * config_peak(cfg).total)
    shrunk, local = (fit_way(cfg, parse_way(word), cap) for word in ('e2e', 'greedy:3'))
    assert step_shape(shrunk.cfg).batch_size < step_shape(local.cfg).batch_size
    assert local.fits and len(local.cfg.model.local.boundaries) == 2
    assert config_peak(local.cfg).total == local.peak <= cap


def test_a_cap_that_no_step_meets_gets_the_smallest_step(cfg):
    found = fit_way(cfg, parse_way('e2e'), 1000)
    assert (found.fits, step_shape(found.cfg).crop) == (False, (32, 32))


def test_checkpointing_that_a_backbone_lacks_is_named(cfg):
    lacking = Config(dict(model=dict(backbone=dict(type='ERFNet'))))
    with pytest.raises(ValueError, match='with_cp: backbone ERFNet has no gradient checkpoint'):
        fit_way(lacking, parse_way('with_cp'), 1000)


def test_half_the_batch_trains_for_twice_as_long_at_half_the_rate(cfg):
    assert iterations_for(cfg, 2, 'images', time_ratio=0.6) == 2000
    assert iterations_for(cfg, 2, 'time', time_ratio=0.8) == 1250
    half = rescheduled(cfg, 2000, 0.5)
    (poly,) = half.param_scheduler
    assert (half.optim_wrapper.optimizer.lr, poly.eta_min, poly.end) == (0.01, 5e-5, 2000)
    assert half.train_cfg == dict(max_iters=2000, val_interval=2000)
    assert cfg.train_cfg.max_iters == 1000


def test_steps_of_a_schedule_move_with_its_end(cfg):
    cfg = deepcopy(cfg)
    cfg.param_scheduler = [dict(type='MultiStepLR', milestones=[500, 800], by_epoch=False)]
    assert rescheduled(cfg, 2000, 1.0).param_scheduler[0].milestones == [1000, 1600]
