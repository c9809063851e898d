"""Mix Vision Transformer under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract

TINY = dict(
    type='InfoProMixVisionTransformer',
    embed_dims=4,
    num_layers=[2, 1, 2, 1],
    num_heads=[1, 2, 2, 4],
    drop_rate=0.1,
    attn_drop_rate=0.1,
    drop_path_rate=0.3,
)


class TestMixVisionTransformer(BackboneContract):
    backbone = TINY
    wide_size = (64, 90)
    variants = (
        dict(out_indices=(1, 3)),
        dict(out_indices=(2,), qkv_bias=False, with_cp=True),
        dict(patch_sizes=[3, 3, 3, 3], strides=[2, 2, 2, 1], sr_ratios=[1, 4, 2, 1]),
    )


def test_units_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(TINY).units()]
    assert names[:4] == ['layers.0.0', 'layers.0.1.0', 'layers.0.1.1', 'layers.1.0']
    assert names[-1] == 'layers.3.1.0'
