"""Copies of units: what they hold, and what the rest of the package does to them."""

from copy import deepcopy

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from torch import nn

from mmseg_infopro.local_heads.unit_average import UnitAverage
from mmseg_infopro.local_heads.unit_copy import UnitCopy
from mmseg_infopro.upstream import tree_leaves
from tests.local.by_formula import CONFIGS
from tests.models import build


def states_of(backbone):
    """Yield each unit with the state before it and the state after it."""
    state = torch.randn(2, 3, 64, 64)
    for unit in backbone.units():
        before, state = state, unit.apply(backbone, state)
        yield unit, before, state


@pytest.mark.parametrize('cls', [UnitCopy, UnitAverage])
@pytest.mark.parametrize('kind', CONFIGS)
def test_a_copy_of_each_unit_does_what_the_unit_does(kind, cls):
    backbone = build(CONFIGS[kind](2)).backbone
    for unit, before, after in states_of(backbone):
        torch.testing.assert_close(tree_leaves(cls(backbone, [unit])(before)), tree_leaves(after))


@pytest.mark.parametrize(
    ('kind', 'owned'), [('resnet', 'layer2.0.'), ('swin', 'stages.1.blocks.0.')]
)
def test_nothing_but_what_the_units_own_is_held(kind, owned):
    backbone = build(CONFIGS[kind](2)).backbone
    unit = next(unit for unit in backbone.units() if unit.owns == (owned[:-1],))
    copy = deepcopy(UnitCopy(backbone, [unit]))
    expected = [name for name in backbone.state_dict() if name.startswith(owned)]
    assert [name.removeprefix('parts.') for name in copy.state_dict()] == expected
    originals = {p.data_ptr() for p in backbone.parameters()}
    assert all(p.data_ptr() not in originals for p in copy.parameters())
    average = UnitAverage(backbone, [unit])
    assert not list(average.parameters())
    assert {name.removeprefix('parts.') for name, _ in average.named_buffers()} >= {
        name for name in expected if name.endswith('weight')
    }


def test_a_stage_that_freezes_in_the_backbone_does_not_in_a_copy():
    backbone = build(CONFIGS['resnet'](2)).backbone
    backbone.frozen_stages, backbone.norm_eval = 4, True
    copy = UnitCopy(backbone, backbone.units()[-2:])
    copy.eval().train()
    assert all(layer.training for layer in copy.modules())


@pytest.mark.parametrize('cls', [UnitCopy, UnitAverage])
def test_batch_norms_become_synchronized_ones_and_plain_ones_again(cls):
    backbone = build(CONFIGS['resnet'](2)).backbone
    unit, before, after = list(states_of(backbone))[3]
    copy = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(cls(backbone, [unit])))
    assert any(isinstance(layer, nn.SyncBatchNorm) for layer in copy.modules())
    num_parameters = len(list(copy.parameters()))
    copy = revert_sync_batchnorm(copy)
    assert len(list(copy.parameters())) == num_parameters
    torch.testing.assert_close(copy(before), after)


def test_initializing_the_model_leaves_a_copy_alone():
    model = build(CONFIGS['swin'](2))
    model.copy = UnitCopy(model.backbone, model.backbone.units()[:2])
    before = deepcopy(model.copy.state_dict())
    for layer in model.modules():
        if hasattr(layer, '_is_init'):
            layer._is_init = False
    model.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in model.copy.state_dict().items())
