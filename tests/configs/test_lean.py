"""What the lean preset needs, against plain mmseg's end-to-end step."""

from pathlib import Path

import pytest

from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.config.step import dry_config_step
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
        ({'model.local.num_modules': 2}, 0.38, 1.01),
        ({'model.local.num_modules': 4}, 0.235, 1.01),
        ({'model.local.num_modules': 8}, 0.185, 1.025),
        (CAPPED, 0.15, 1.13),
    ],
)
def test_its_share_of_the_memory_and_its_flops(end_to_end, options, share, flops):
    step = dry_config_step(resolve(read_config(LEAN, options)))
    assert step.peak.total <= share * end_to_end.peak.total
    assert step.flops <= flops * end_to_end.flops
