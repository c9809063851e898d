"""Settings of the step that plans take into account: offload, and the memory format."""

from pathlib import Path

import pytest
import torch

from mmseg_infopro import localize
from mmseg_infopro.config.build import build_end_to_end
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.fit_cap import measure_config
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.planning.boundaries import module_peaks

CONFIG = Path(__file__).resolve().parents[2] / 'configs/camvid/e2e_deeplabv3_r18.py'
BOUNDARY = 'layer2.1'


def cut(boundary=BOUNDARY, step=(8, (256, 384)), **local):
    cfg = read_config(str(CONFIG))
    override_step(cfg, *step)
    cfg = localize(cfg, boundaries=[boundary], recipe='plain')
    cfg.model.local.update(local)
    return cfg


def planned(cfg):
    settings = read_local_settings(cfg.model.local)
    return module_peaks(measure_config(cfg, settings), settings.boundaries)


@pytest.mark.parametrize('recompute', ['none', 'cheap'])
def test_what_waits_on_the_host_is_not_planned_for(recompute):
    offloaded = cut(recompute=recompute, offload=True)
    found, plan = dry_config_step(offloaded).module_peaks(), planned(offloaded)
    for index, peak in enumerate(plan):
        # A unit's own backward pass is planned as if all that it saves were on the device.
        assert peak == pytest.approx(found[index], rel=0.35)
    assert plan[1] < 0.95 * planned(cut(recompute=recompute))[1]


def with_optimizer(**optimizer):
    cfg = cut(step=(2, (64, 96)))
    cfg.optim_wrapper.optimizer = dict(lr=0.01, **optimizer)
    return cfg


@pytest.mark.parametrize(
    ('package', 'optimizer', 'of_8_bits', 'averages'),
    [
        ('bitsandbytes', dict(type='SGD', momentum=0.9), dict(type='SGD8bit', momentum=0.9), 1),
        ('torchao', dict(type='AdamW'), dict(type='torchao_AdamW8bit'), 2),
    ],
)
def test_averages_of_8_bits_are_planned_as_what_they_need(package, optimizer, of_8_bits, averages):
    pytest.importorskip(package)
    cfg, plain = with_optimizer(**of_8_bits), with_optimizer(**optimizer)
    values = sum(parameter.numel() for parameter in build_end_to_end(plain).parameters())
    plan, found = planned(cfg), dry_config_step(cfg).module_peaks()
    assert planned(plain)[0] - plan[0] == pytest.approx(3 * averages * values, rel=0.05)
    assert plan == pytest.approx([found[0], found[1]], rel=0.1)


def test_the_uncut_model_has_the_memory_format():
    layer = build_end_to_end(cut(channels_last=True)).decode_head.bottleneck.conv
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    assert not layer.weight.is_contiguous()
