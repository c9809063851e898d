"""STDC under contract."""

import pytest
from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN

STDC = dict(
    stdc_type='STDCNet1',
    in_channels=3,
    channels=(4, 8, 16, 24, 32),
    bottleneck_type='cat',
    norm_cfg=BN,
    act_cfg=dict(type='ReLU'),
)


class TestSTDCNet(BackboneContract):
    backbone = dict(type='InfoProSTDCNet', **STDC)
    variants = (
        dict(with_final_conv=True),
        dict(bottleneck_type='add'),
        dict(stdc_type='STDCNet2', num_convs=4),
    )


class TestSTDCContextPathNet(BackboneContract):
    backbone = dict(
        type='InfoProSTDCContextPathNet',
        backbone_cfg=dict(type='STDCNet', **STDC),
        last_in_channels=(32, 24),
        out_channels=8,
        ffm_cfg=dict(in_channels=24, out_channels=16, scale_factor=4),
        norm_cfg=BN,
    )
    variants = (
        dict(upsample_mode='bilinear', align_corners=False),
        dict(
            last_in_channels=(1024, 24),
            backbone_cfg=dict(type='STDCNet', with_final_conv=True, **STDC),
        ),
        dict(backbone_cfg=dict(STDC, type='STDCNet', stdc_type='STDCNet2')),
    )


def test_units_are_stages_then_the_context_path():
    names = [unit.name for unit in MODELS.build(TestSTDCContextPathNet.backbone).units()]
    assert names == [
        'backbone.stages.0',
        'backbone.stages.1',
        *(f'backbone.stages.{stage}.{block}' for stage in (2, 3, 4) for block in (0, 1)),
        'arms.0',
        'arms.1',
        'ffm',
    ]


def test_another_net_under_the_context_path_is_refused_by_its_name():
    net = dict(type='MobileNetV2', widen_factor=0.1)
    backbone = MODELS.build({**TestSTDCContextPathNet.backbone, 'backbone_cfg': net})
    with pytest.raises(TypeError, match='type STDCNet to be cut, got MobileNetV2'):
        backbone.units()
