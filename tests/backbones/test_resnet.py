"""The ResNet family under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BACKBONES, BN, DILATED

OUT_INDICES = (dict(out_indices=(1, 3)), dict(out_indices=(2,)))


def tiny(name: str) -> dict:
    return dict(type=name, norm_cfg=BN, **DILATED, **BACKBONES[name])


class TestResNet(BackboneContract):
    backbone = tiny('InfoProResNet')
    variants = OUT_INDICES


class TestResNetV1c(BackboneContract):
    backbone = tiny('InfoProResNetV1c')
    variants = OUT_INDICES


class TestResNetV1d(BackboneContract):
    backbone = tiny('InfoProResNetV1d')
    variants = OUT_INDICES


class TestResNeXt(BackboneContract):
    backbone = tiny('InfoProResNeXt')
    variants = OUT_INDICES


class TestResNeSt(BackboneContract):
    backbone = tiny('InfoProResNeSt')
    variants = OUT_INDICES


def test_units_of_r101_are_named_as_the_parameters_are():
    backbone = MODELS.build(dict(type='InfoProResNetV1c', depth=101))
    names = [unit.name for unit in backbone.units()]
    assert len(names) == 34
    assert names[0] == 'stem'
    assert names[20] == 'layer3.12'
    assert names[-1] == 'layer4.2'


def test_a_child_config_can_change_any_argument():
    backbone = MODELS.build({**tiny('InfoProResNetV1c'), 'depth': 34, 'frozen_stages': 1})
    assert len(backbone.units()) == 17
    assert not any(parameter.requires_grad for parameter in backbone.layer1.parameters())
