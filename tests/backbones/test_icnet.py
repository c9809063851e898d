"""ICNet under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN

RESNET = dict(
    type='ResNetV1c',
    depth=18,
    base_channels=4,
    stem_channels=4,
    strides=(1, 2, 1, 1),
    dilations=(1, 1, 2, 4),
    norm_cfg=BN,
)


class TestICNet(BackboneContract):
    backbone = dict(
        type='InfoProICNet',
        backbone_cfg=RESNET,
        layer_channels=(8, 32),
        light_branch_middle_channels=4,
        psp_out_channels=8,
        out_channels=(4, 8, 8),
        pool_scales=(1, 2),
        norm_cfg=BN,
    )
    wide_size = (64, 128)
    variants = (dict(align_corners=True), dict(backbone_cfg=dict(RESNET, norm_eval=True)))


def test_units_are_those_of_the_deep_path():
    names = [unit.name for unit in MODELS.build(TestICNet.backbone).units()]
    assert names == [
        'backbone.stem',
        *(f'backbone.layer{stage}.{block}' for stage in (1, 2, 3, 4) for block in (0, 1)),
        'psp_bottleneck',
    ]


def test_the_light_path_belongs_to_the_module_that_reads_it():
    emits = [emit for unit in MODELS.build(TestICNet.backbone).units() for emit in unit.emits]
    assert [emit.owns for emit in emits] == [('conv_sub1',), ('conv_sub2',), ('conv_sub4',)]
