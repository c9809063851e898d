"""Swin Transformer under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract

TINY = dict(
    type='InfoProSwinTransformer',
    embed_dims=4,
    depths=(2, 1, 2, 1),
    num_heads=(1, 1, 2, 2),
    window_size=3,
    drop_rate=0.1,
    attn_drop_rate=0.1,
    drop_path_rate=0.3,
)
ABSOLUTE = TINY | dict(use_abs_pos_embed=True, pretrain_img_size=64)


class TestSwinTransformer(BackboneContract):
    backbone = TINY
    wide_size = (64, 90)  # a multiple of neither patch nor window
    variants = (
        dict(out_indices=(1, 3)),
        dict(out_indices=(0, 2), frozen_stages=1),
        dict(patch_norm=False, qkv_bias=False, with_cp=True),
        dict(patch_size=2, strides=(2, 2, 2, 1)),
    )


class TestAbsolutePositionEmbeddings(BackboneContract):
    backbone = ABSOLUTE
    wide_size = (32, 128)  # as many patches
    variants = (dict(frozen_stages=0),)


def test_units_of_swin_tiny_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(dict(type='InfoProSwinTransformer')).units()]
    assert names[:3] == ['patch_embed', 'stages.0.blocks.0', 'stages.0.blocks.1']
    assert names[3:5] == ['stages.0.downsample', 'stages.1.blocks.0']
    assert names[-1] == 'stages.3.blocks.1'


def test_output_norms_belong_to_the_reader_of_the_feature():
    emits = [emit for unit in MODELS.build(TINY).units() for emit in unit.emits]
    assert [emit.owns for emit in emits] == [('norm0',), ('norm1',), ('norm2',), ('norm3',)]


def test_absolute_position_embeddings_fix_the_size_of_the_traced_image():
    backbone = MODELS.build(ABSOLUTE | dict(pretrain_img_size=(32, 48)))
    assert backbone.example_size() == (32, 48)
