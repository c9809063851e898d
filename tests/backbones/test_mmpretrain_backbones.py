"""Backbones of mmpretrain under contract."""

import pytest
from mmseg.registry import MODELS

pytest.importorskip('mmpretrain.models', reason='ConvNeXt and PoolFormer are in mmpretrain')

import mmseg_infopro.backbones.mmpretrain_backbones  # noqa: F401
from tests.backbones.contract import BackboneContract


class TestConvNeXt(BackboneContract):
    backbone = dict(
        type='InfoProConvNeXt',
        arch=dict(depths=[2, 1, 2, 1], channels=[4, 8, 8, 12]),
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.3,
        layer_scale_init_value=1.0,
        gap_before_final_norm=False,
    )
    scope = 'mmpretrain.'
    variants = (
        dict(out_indices=-1),
        dict(out_indices=[1, 3], gap_before_final_norm=True),
        dict(use_grn=True, layer_scale_init_value=0.0, linear_pw_conv=False),
        dict(frozen_stages=2),
    )


class TestPoolFormer(BackboneContract):
    backbone = dict(
        type='InfoProPoolFormer',
        arch=dict(layers=[2, 1, 2, 1], embed_dims=[4, 8, 12, 16]),
        out_indices=[0, 2, 4, 6],
        drop_rate=0.1,
        drop_path_rate=0.3,
        frozen_stages=-1,
    )
    scope = 'mmpretrain.'
    variants = (dict(out_indices=(1, 6), frozen_stages=2), dict(out_indices=-1))


def test_units_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(TestConvNeXt.backbone).units()]
    assert names[:4] == ['downsample_layers.0', 'stages.0.0', 'stages.0.1', 'downsample_layers.1']
    names = [unit.name for unit in MODELS.build(TestPoolFormer.backbone).units()]
    assert names[:4] == ['patch_embed', 'network.0.0', 'network.0.1', 'network.1']
