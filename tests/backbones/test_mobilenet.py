"""MobileNetV2 and V3 under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN


class TestMobileNetV2(BackboneContract):
    backbone = dict(
        type='InfoProMobileNetV2',
        widen_factor=0.1,
        strides=(1, 2, 2, 1, 1, 1, 1),
        dilations=(1, 1, 1, 2, 2, 4, 4),
        out_indices=(1, 2, 4, 6),
        norm_cfg=BN,
    )
    variants = (dict(out_indices=(0, 6)), dict(norm_eval=True), dict(frozen_stages=2))


class TestMobileNetV3(BackboneContract):
    backbone = dict(type='InfoProMobileNetV3', arch='small', out_indices=(0, 1, 12), norm_cfg=BN)
    variants = (dict(out_indices=(3, 11, 12)), dict(frozen_stages=1))


def test_units_are_named_as_the_parameters_are():
    v2 = [unit.name for unit in MODELS.build(TestMobileNetV2.backbone).units()]
    v3 = [unit.name for unit in MODELS.build(TestMobileNetV3.backbone).units()]
    assert v2[:4] == ['conv1', 'layer1.0', 'layer2.0', 'layer2.1']
    assert v3 == [f'layer{index}' for index in range(13)]
