"""STDC under contract."""

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
            backbone_cfg=dict(
                type='STDCNet',
                stdc_type='STDCNet2',
                **{key: value for key, value in STDC.items() if key != 'stdc_type'},
            )
        ),
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
