"""Local heads take over what the model and the border already say."""

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_infopro.backbones import FeatureShape
from mmseg_infopro.local_heads import build_local_heads
from tests.models import NUM_CLASSES, border_at

DEFAULTS = dict(
    num_classes=NUM_CLASSES, norm_cfg=dict(type='BN'), image_mean=[0.0] * 3, image_std=[1.0] * 3
)
BRANCHES = (FeatureShape(8, 4), FeatureShape(16, 8))
TASK = dict(type='FCNHead', num_convs=1, concat_input=False, dropout_ratio=0)


def build(cfg, border):
    return build_local_heads([cfg], border_at(border), DEFAULTS)[0]


def maps(border, size=64):
    return [torch.randn(2, s.channels, size // s.stride, size // s.stride) for s in border]


@pytest.mark.parametrize(('channels', 'expected'), [(1024, 512), (2048, 512), (256, 128), (24, 32)])
def test_a_task_head_has_half_the_borders_channels(channels, expected):
    assert build(TASK, (FeatureShape(channels, 8),)).channels == expected


def test_channels_that_are_given_stay():
    assert build(dict(TASK, channels=7), (FeatureShape(64, 8),)).channels == 7
    assert build(dict(type='ReconstructionHead'), BRANCHES).reduce.out_channels == 128


@pytest.mark.parametrize('kind', ['FCNHead', 'ReconstructionHead', 'PixelContrastHead'])
def test_every_branch_of_a_border_gets_a_gradient(kind):
    head = build(TASK if kind == 'FCNHead' else dict(type=kind), BRANCHES)
    features = [feature.requires_grad_() for feature in maps(BRANCHES)]
    arguments = ((64, 64),) if kind == 'ReconstructionHead' else ()
    head(features, *arguments).square().sum().backward()
    assert all(feature.grad.abs().sum() > 0 for feature in features)


def test_a_head_may_read_one_branch():
    head = build(dict(TASK, in_index=1), BRANCHES)
    assert head.in_channels == 16
    assert head(maps(BRANCHES)).shape == (2, NUM_CLASSES, 8, 8)


def test_what_the_branches_give_is_what_mmseg_makes_of_them():
    ours = build(dict(TASK, channels=8), BRANCHES)
    theirs = MODELS.build(
        dict(
            TASK,
            channels=8,
            in_channels=[8, 16],
            in_index=[0, 1],
            input_transform='resize_concat',
            num_classes=NUM_CLASSES,
            norm_cfg=dict(type='BN'),
        )
    )
    theirs.load_state_dict(ours.state_dict())
    features = maps(BRANCHES)
    assert torch.equal(ours(features), theirs(features))


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(TASK, in_channels=9), r'in_channels must be \[8, 16\] there, got 9'),
        (dict(TASK, in_index=2), "does not fit at boundary 'unit'"),
        (dict(type='NoSuchHead'), 'it is not registered'),
    ],
)
def test_a_head_that_does_not_fit_says_where(cfg, message):
    with pytest.raises(ValueError, match=message):
        build(cfg, BRANCHES)


def test_two_heads_of_one_name_are_refused():
    heads = [dict(TASK, name='task'), dict(TASK, name='task')]
    with pytest.raises(ValueError, match=r"another head at boundary .* is named 'task'"):
        build_local_heads(heads, border_at(BRANCHES), DEFAULTS)
    named = build_local_heads([dict(TASK, name='one'), TASK], border_at(BRANCHES), DEFAULTS)
    assert [head.local_name for head in named] == ['one', 'FCNHead']
