"""BEiT and MAE under contract."""

import pytest
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from torch import nn

from tests.backbones.contract import BackboneContract

TINY = dict(
    img_size=64,
    patch_size=16,
    embed_dims=8,
    num_layers=4,
    num_heads=2,
    mlp_ratio=2,
    out_indices=(0, 1, 3),
    attn_drop_rate=0.1,
    drop_path_rate=0.3,
)
TINY_BEIT = dict(type='InfoProBEiT', **TINY)
TINY_MAE = dict(type='InfoProMAE', **TINY)
SAME_PATCHES = (32, 128)
FLOWS = (
    dict(out_indices=-1),
    dict(out_indices=1),
    dict(final_norm=True, patch_norm=True),
    dict(final_norm=True, out_indices=[2], norm_eval=True),
)
LAYER_DECAY = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    constructor='LayerDecayOptimizerConstructor',
    paramwise_cfg=dict(num_layers=4, layer_decay_rate=0.5),
)


class TestBEiT(BackboneContract):
    backbone = TINY_BEIT
    wide_size = SAME_PATCHES
    variants = (*FLOWS, dict(qv_bias=False))


class TestMAE(BackboneContract):
    backbone = TINY_MAE
    wide_size = SAME_PATCHES
    variants = FLOWS


@pytest.mark.parametrize('name', ['BEiT', 'MAE'])
def test_units_are_named_as_the_parameters_are(name):
    names = [unit.name for unit in MODELS.build(dict(type=f'InfoPro{name}', **TINY)).units()]
    assert names == ['patch_embed', 'layers.0', 'layers.1', 'layers.2', 'layers.3']


@pytest.mark.parametrize('name', ['BEiT', 'MAE'])
def test_shapes_are_traced_on_the_size_that_the_position_biases_fix(name):
    backbone = MODELS.build(TINY | dict(type=f'InfoPro{name}', img_size=(64, 96)))
    assert backbone.example_size() == (64, 96)


@pytest.mark.parametrize('name', ['BEiT', 'MAE'])
def test_layer_wise_learning_rates_are_the_plain_models(name):
    groups = []
    for backbone_type in (name, f'InfoPro{name}'):
        model = nn.Module()
        model.backbone = MODELS.build(dict(type=backbone_type, **TINY))
        optimizer = build_optim_wrapper(model, LAYER_DECAY).optimizer
        groups.append(
            [(g['param_names'], g['lr'], g['weight_decay']) for g in optimizer.param_groups]
        )
    assert groups[0] == groups[1]
