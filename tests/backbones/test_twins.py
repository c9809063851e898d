"""Twins under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract

TINY = dict(
    embed_dims=[4, 4, 8, 8],
    num_heads=[1, 2, 2, 4],
    mlp_ratios=[2, 2, 2, 2],
    depths=[2, 1, 2, 1],
    sr_ratios=[8, 4, 2, 1],
    drop_rate=0.1,
    attn_drop_rate=0.1,
    drop_path_rate=0.3,
)
TINY_PCPVT = dict(type='InfoProPCPVT', **TINY)
TINY_SVT = dict(type='InfoProSVT', windiow_sizes=[3, 3, 2, 2], **TINY)


class TestPCPVT(BackboneContract):
    backbone = TINY_PCPVT
    wide_size = (64, 90)
    variants = (
        dict(out_indices=(1, 3)),
        dict(norm_after_stage=True, qkv_bias=True),
        dict(norm_after_stage=True, depths=[1, 2]),
    )


class TestSVT(BackboneContract):
    backbone = TINY_SVT
    wide_size = (64, 90)
    variants = (dict(out_indices=(0, 2)), dict(norm_after_stage=False, qkv_bias=True))


def test_units_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(TINY_PCPVT).units()]
    assert names[:4] == ['patch_embeds.0', 'layers.0.0', 'layers.0.1', 'patch_embeds.1']
    assert names[-1] == 'layers.3.0'
