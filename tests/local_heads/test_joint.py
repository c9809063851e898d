"""What joins states of different shapes."""

import pytest
import torch
from torch import nn

from mmseg_infopro.backbones import FeatureShape
from mmseg_infopro.local_heads.joint import Joint
from tests.models import BN

SIZE = torch.Size
SOURCE = [FeatureShape(8, 4.0)]


def joined(target, maps, sources=SOURCE):
    return Joint(sources, target, 64, BN)(maps)


@pytest.mark.parametrize(('stride', 'height', 'width'), [(4, 9, 11), (8, 5, 6), (2, 18, 22)])
def test_maps_get_the_channels_and_the_stride_of_the_target(stride, height, width):
    target = SIZE((2, 16, 64 // stride, 64 // stride))
    assert joined(target, [torch.randn(2, 8, 9, 11)]).shape == (2, 16, height, width)


def test_tokens_come_with_the_size_of_their_map():
    tokens, size = joined((SIZE((2, 64, 16)), (8, 8)), [torch.randn(2, 8, 9, 11)])
    assert tokens.shape == (2, 30, 16) and size == (5, 6)


def test_each_branch_has_its_own_projection_of_all_maps():
    target = [SIZE((2, 4, 16, 16)), SIZE((2, 8, 8, 8))]
    sources = [FeatureShape(8, 4.0), FeatureShape(4, 8.0)]
    maps = [torch.randn(2, 8, 16, 16), torch.randn(2, 4, 8, 8)]
    found = joined(target, maps, sources)
    assert [x.shape for x in found] == target


def test_nothing_is_projected_where_only_the_layout_differs():
    joint = Joint(SOURCE, (SIZE((2, 256, 8)), (16, 16)), 64, BN)
    assert isinstance(joint.projections[0], nn.Identity)
    x = torch.randn(2, 8, 3, 5)
    tokens, size = joint([x])
    assert torch.equal(tokens.mT.unflatten(2, size), x)


@pytest.mark.parametrize(
    'target', [(SIZE((2, 17, 8)), (4, 4)), dict(size=(8, 8), x=SIZE((2, 8, 4, 4)))]
)
def test_other_states_are_refused(target):
    with pytest.raises(ValueError, match='can be joined to a state'):
        Joint(SOURCE, target, 64)
