"""Residual branches that units name: what a unit adds to its shortcut."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmseg_infopro.backbones.residuals import WITH_RESIDUALS, apply_measuring
from mmseg_infopro.backbones.supported import supported_backbones
from tests.backbones import test_beit, test_hrnet, test_mit, test_swin, test_vit
from tests.backbones.contract import disturb
from tests.backbones.test_resnet import tiny
from tests.models import BACKBONES

TINY = {
    **{name: tiny(name) for name in BACKBONES},
    'InfoProBEiT': test_beit.TINY_BEIT,
    'InfoProMAE': test_beit.TINY_MAE,
    'InfoProMixVisionTransformer': test_mit.TINY,
    'InfoProSwinTransformer': test_swin.TINY,
    'InfoProVisionTransformer': test_vit.TINY,
}
CONTEXT_BLOCK = dict(type='ContextBlock', ratio=0.5)


def first_residual_unit(cfg):
    """Return a backbone, its first unit with residual branches, and what this starts from."""
    torch.manual_seed(0)
    backbone = MODELS.build(cfg)
    backbone.eval()  # not chained: mmseg's ResNet.train returns None
    disturb(backbone)
    state = torch.randn(2, 3, 64, 64)
    for unit in backbone.units():
        if unit.residuals:
            return backbone, unit, state
        state = unit.apply(backbone, state)


def recorded_branches(backbone, unit, state):
    branches = []
    for path in unit.residuals:
        layer = backbone.get_submodule(path)
        layer.register_forward_hook(lambda layer, args, output: branches.append(output.clone()))
    return unit.apply(backbone, state), branches


def test_the_backbones_are_those_that_the_error_lists():
    assert set(TINY) == set(WITH_RESIDUALS) <= set(supported_backbones())
    assert not any(unit.residuals for unit in MODELS.build(test_hrnet.TestHRNet.backbone).units())


@torch.no_grad()
@pytest.mark.parametrize('name', TINY)
def test_shortcut_and_branches_add_up_to_the_unit(name):
    backbone, unit, state = first_residual_unit(TINY[name])
    after, branches = recorded_branches(backbone, unit, state)
    if isinstance(state, tuple):
        (tokens, _), (after, _) = state, after
        expected = tokens + branches[0] + branches[1]
    else:
        block = backbone.get_submodule(unit.name)
        shortcut = state if block.downsample is None else block.downsample(state)
        expected = F.relu(shortcut + branches[0])
    torch.testing.assert_close(after, expected)


@torch.no_grad()
def test_a_plugin_may_end_the_branch():
    plugins = [dict(cfg=CONTEXT_BLOCK, position='after_conv3')]
    cfg = dict(tiny('InfoProResNetV1d'), plugins=plugins)
    backbone, unit, state = first_residual_unit(cfg)
    after, (branch,) = recorded_branches(backbone, unit, state)
    block = backbone.get_submodule(unit.name)
    torch.testing.assert_close(after, F.relu(block.downsample(state) + branch))


@pytest.mark.parametrize('name', TINY)
def test_their_mean_squares_are_measured_and_nothing_else_changes(name):
    backbone, unit, state = first_residual_unit(TINY[name])
    after, measured = apply_measuring(unit, backbone, state)
    assert not any(layer._forward_hooks for layer in backbone.modules())
    expected, branches = recorded_branches(backbone, unit, state)
    torch.testing.assert_close(after, expected, rtol=0, atol=0)
    torch.testing.assert_close(list(measured), [r.square().mean() for r in branches])
