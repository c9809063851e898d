"""Vision Transformer under contract."""

from copy import deepcopy

import torch
from mmseg.registry import MODELS

from tests.backbones.contract import HEAD, LOCAL, BackboneContract, disturb, hand_cut_loss
from tests.models import KeepGradients, batch, gradients

TINY = dict(
    type='InfoProVisionTransformer',
    img_size=(64, 64),
    embed_dims=8,
    num_layers=4,
    num_heads=2,
    mlp_ratio=2,
    out_indices=(0, 1, 2, 3),
    drop_rate=0.1,
    attn_drop_rate=0.1,
    drop_path_rate=0.3,
)


class TestVisionTransformer(BackboneContract):
    backbone = TINY
    wide_size = (64, 90)
    variants = (
        dict(out_indices=-1, qkv_bias=False),
        dict(out_indices=1, patch_bias=True, patch_norm=True),
        dict(with_cls_token=False, interpolate_mode='bilinear', with_cp=True),
        dict(output_cls_token=True),
        dict(out_origin=True, pre_norm=True, final_norm=True),
        dict(out_origin=True, output_cls_token=True, out_indices=[1, 3]),
        dict(out_origin=True, with_cls_token=False, final_norm=True, out_indices=[2]),
        dict(frozen_exclude=['pos_embed'], norm_eval=True),
        dict(patch_pad=2, patch_size=8),
    )


def test_units_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(TINY).units()]
    assert names == ['patch_embed', 'layers.0', 'layers.1', 'layers.2', 'layers.3']


def test_frozen_parameters_stay_frozen():
    backbone = MODELS.build(TINY | dict(frozen_exclude=['pos_embed', 'layers.3']))
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert {name.split('.')[0] for name in trained} == {'pos_embed', 'layers'}
    assert not any(p.requires_grad for p in backbone.layers[2].parameters())


def segmentor_that_reads_class_tokens():
    head = {key: HEAD[key] for key in ('channels', 'num_classes', 'norm_cfg', 'dropout_ratio')}
    return MODELS.build(
        dict(
            type='InfoProEncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
            backbone=TINY | dict(output_cls_token=True),
            decode_head=dict(
                head,
                type='DPTHead',
                in_channels=(8, 8, 8, 8),
                in_index=(0, 1, 2, 3),
                input_transform='multiple_select',
                embed_dims=8,
                post_process_channels=[4, 4, 8, 8],
                readout_type='project',
            ),
            local=dict(boundaries=['layers.0', 'layers.2'], heads=[dict(type='FCNHead', **LOCAL)]),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )


def test_class_tokens_reach_the_decode_head_with_their_maps():
    model = segmentor_that_reads_class_tokens()
    disturb(model)
    model.train()
    twin = deepcopy(model)
    torch.manual_seed(3)
    model.train_step(batch(), KeepGradients.wrap(model))
    torch.manual_seed(3)
    hand_cut_loss(twin, batch()).backward()
    actual, expected = gradients(model), gradients(twin)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
