"""What is planned for each module beside a dry step.

Auxiliary heads train within several modules of BiSeNetV2 and STDC, layers of ICNet's backbone train
within the tail, and DeepLabV3+ is cut where a feature is read. Blocks of Twins-SVT attend to
windows and to everything in turn, with parameters of the same shapes.
"""

import pytest

from mmseg_infopro.config.edit import override_step, set_recompute
from mmseg_infopro.config.fit_cap import measure_config
from mmseg_infopro.config.localize import localize
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.planning.boundaries import module_peaks

BISENET = 'mmseg::bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py'
DEEPLAB = 'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py'
ICNET = 'mmseg::icnet/icnet_r50-d8_4xb2-80k_cityscapes-832x832.py'
SVT = 'mmseg::twins/twins_svt-s_fpn_fpnhead_8xb4-80k_ade20k-512x512.py'
SWIN = 'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'
STDC = 'mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py'


@pytest.mark.parametrize('word', ['none', 'cheap'])
@pytest.mark.parametrize(
    ('network', 'boundaries'),
    [
        (BISENET, ['detail.detail_branch.0', 'semantic.stage2.0', 'semantic.stage4_CEBlock']),
        (DEEPLAB, ['layer1.2', 'layer2.0']),
        (ICNET, ['backbone.layer2.3', 'backbone.layer4.0']),
        (STDC, ['backbone.stages.1', 'backbone.stages.2.1', 'backbone.stages.3.1']),
    ],
)
def test_each_module_needs_what_is_planned(network, boundaries, word):
    cfg = localize(network, boundaries=boundaries)
    override_step(cfg, 2, (512, 512), None)
    set_recompute(cfg, word)
    step = measure_config(cfg, read_local_settings(cfg.model.local))
    peaks = dry_config_step(cfg).module_peaks()
    planned = module_peaks(step, boundaries)
    for module, peak in peaks.items():
        assert 0.95 < planned[module] / peak < 1.12, (module, planned, peaks)


@pytest.mark.parametrize('network', [SVT, SWIN])
def test_each_unit_runs_the_operations_that_are_planned(network):
    cfg = localize(network, boundaries=[])
    override_step(cfg, 2, (224, 224), None)
    step = measure_config(cfg, read_local_settings(cfg.model.local))
    assert all(unit.operations for unit in step.units)
    cfg.model.local.recompute = [
        dict(end=unit.name, saved=[f'{i}:{op.name}' for i, op in enumerate(unit.operations)])
        for unit in step.units
    ]
    dry_config_step(cfg)  # refuses operations of other names, and numbers of none
