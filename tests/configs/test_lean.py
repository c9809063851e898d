"""What the lean preset needs, against plain mmseg's end-to-end step."""

from dataclasses import replace
from pathlib import Path

import pytest

from mmseg_infopro.config.fit_cap import nearest_fit
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.report.baselines import E2E, end_to_end_forms

LEAN = str(Path(__file__).resolve().parents[2] / 'configs/cityscapes/lean_deeplabv3_r101.py')

CAPPED = {
    'model.local.memory_cap': '15%',
    'model.local.recompute': 'auto',
}


@pytest.fixture(scope='module')
def end_to_end():
    return dry_config_step(end_to_end_forms(read_config(LEAN, None))[E2E])


@pytest.mark.parametrize(
    ('options', 'share', 'flops'),
    [
        ({'model.local.num_modules': 2}, 0.38, 0.98),
        ({'model.local.num_modules': 4}, 0.235, 0.98),
        ({'model.local.num_modules': 8}, 0.185, 1.0),
        (CAPPED, 0.15, 1.135),
    ],
)
def test_its_share_of_the_memory_and_its_flops(end_to_end, options, share, flops):
    step = dry_config_step(resolve(read_config(LEAN, options)))
    assert step.peak.total <= share * end_to_end.peak.total
    assert step.flops <= flops * end_to_end.flops


@pytest.mark.parametrize(
    ('num_modules', 'share', 'flops'), [(2, 0.33, 1.02), (4, 0.20, 1.02), (8, 0.15, 1.03)]
)
def test_what_planned_recomputing_makes_of_it(end_to_end, num_modules, share, flops):
    cap = int(share * end_to_end.peak.total)
    cfg = read_config(LEAN, CAPPED)
    settings = replace(read_local_settings(cfg.model.local), memory_cap=cap, memory_margin=0)
    fit, fits = nearest_fit(cfg, settings, num_modules)
    assert fits
    assert fit.step.peak.total <= cap
    assert fit.step.flops <= flops * end_to_end.flops
