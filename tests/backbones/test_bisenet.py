"""BiSeNet under contract."""

import pytest
from mmseg.registry import MODELS

from tests.backbones.contract import HEAD, LOCAL, BackboneContract
from tests.models import BN

RESNET = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, norm_cfg=BN)
SWIN = dict(
    type='SwinTransformer',
    embed_dims=4,
    depths=(1, 2, 1, 1),
    num_heads=(1, 1, 2, 2),
    window_size=3,
    drop_path_rate=0.3,
)


class TestBiSeNetV1(BackboneContract):
    backbone = dict(
        type='InfoProBiSeNetV1',
        backbone_cfg=RESNET,
        spatial_channels=(4, 4, 4, 8),
        context_channels=(8, 16, 32),
        out_channels=12,
        norm_cfg=BN,
    )
    variants = (
        dict(out_indices=(2, 0)),
        dict(out_indices=(-3,)),
        dict(backbone_cfg=SWIN),
    )


class TestBiSeNetV2(BackboneContract):
    backbone = dict(
        type='InfoProBiSeNetV2',
        detail_channels=(4, 4, 8),
        semantic_channels=(4, 8, 8, 8),
        semantic_expansion_ratio=2,
        bga_channels=8,
    )
    variants = (dict(out_indices=(0,)), dict(out_indices=(4, 1, 0)))


def test_units_of_v1_are_the_context_path_then_the_spatial_path():
    names = [unit.name for unit in MODELS.build(TestBiSeNetV1.backbone).units()]
    assert names[:2] == ['context_path.backbone.stem', 'context_path.backbone.layer1.0']
    assert names[-8:] == [
        'context_path.backbone.layer4.1',
        'context_path.arm32',
        'context_path.arm16',
        *(f'spatial_path.layer{layer}' for layer in (1, 2, 3, 4)),
        'ffm',
    ]


def test_units_of_v2_are_the_detail_branch_then_the_semantic_branch():
    names = [unit.name for unit in MODELS.build(TestBiSeNetV2.backbone).units()]
    assert names == [
        *(f'detail.detail_branch.{stage}' for stage in (0, 1, 2)),
        'semantic.stage1',
        *(f'semantic.stage{stage}.{block}' for stage in (2, 3) for block in (0, 1)),
        *(f'semantic.stage4.{block}' for block in (0, 1, 2, 3)),
        'semantic.stage4_CEBlock',
        'bga',
    ]


def test_an_auxiliary_head_trains_with_the_stage_that_it_reads():
    channels = TestBiSeNetV2.backbone['semantic_channels']
    model = MODELS.build(
        dict(
            type='InfoProEncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor'),
            backbone=TestBiSeNetV2.backbone,
            decode_head=dict(HEAD, in_channels=8, in_index=0),
            auxiliary_head=[
                dict(HEAD, in_channels=width, in_index=index)
                for index, width in enumerate(channels, 1)
            ],
            local=dict(boundaries=['semantic.stage3.0'], heads=[dict(type='FCNHead', **LOCAL)]),
        )
    )
    assert [module.aux_heads for module in model.local_modules] == [(0, 1), (2, 3)]
    assert [module.reads for module in model.local_modules] == [{1, 2}, {0, 3, 4}]


def test_a_context_path_that_cannot_be_cut_is_refused():
    backbone = MODELS.build({**TestBiSeNetV1.backbone, 'backbone_cfg': dict(type='ReLU')})
    with pytest.raises(TypeError, match='backbone_cfg is of type ReLU, which cannot be cut'):
        backbone.units()
