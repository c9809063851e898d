"""What a config lists of recomputing groups."""

import torch
from torch import nn

from mmseg_infopro.recompute.groups import RecomputeGroup, read_groups
from mmseg_infopro.recompute.operations import measure_activations


def test_a_group_reads_what_it_writes():
    listed = [dict(end='stem', saved='all'), dict(end='layer1.0', saved=['0:convolution', 3])]
    groups = read_groups(listed)
    assert groups[1] == RecomputeGroup('layer1.0', {0: 'convolution', 3: ''})
    assert [group.as_config() for group in groups] == listed


def test_fused_attention_has_one_name_whatever_the_kernel():
    def attend(x):
        return nn.functional.scaled_dot_product_attention(x, x, x) @ x.transpose(-1, -2)

    measured = measure_activations(attend, torch.rand(2, 2, 4, 8, requires_grad=True))
    assert [operation.name for operation in measured.operations] == ['attention', 'bmm']
