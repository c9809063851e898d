"""``local.recompute``: the same training in less memory."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper

from mmseg_infopro.backbones import boundary_names
from mmseg_infopro.measure.dry_step import dry_step
from tests.models import batch, build, model_config

BOUNDARIES = ['layer1.1', 'layer3.1']
SGD = ConfigDict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
GROUPS = [
    dict(end='layer1.0', saved='all'),
    dict(end='layer1.1', saved=[1]),
    dict(end='layer2.1', saved='cheap'),
    dict(end='layer3.0', saved=['0:convolution', 2]),
    dict(end='layer3.1', saved=[]),
    dict(end='layer4.1', saved='units'),
]
"""Of the whole network; every stage that emits a feature ends one."""


def local(recompute, boundaries=BOUNDARIES):
    return model_config(local=dict(boundaries=boundaries, recompute=recompute))


def train(recompute, boundaries):
    model = build(local(recompute, boundaries))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for number in range(2):
        model.train_step(batch(seed=number), OptimWrapper(optimizer))
    return model.state_dict()


@pytest.mark.parametrize('boundaries', [[], BOUNDARIES])
@pytest.mark.parametrize('recompute', ['cheap', 'units', GROUPS])
def test_recomputing_changes_nothing_bit_for_bit(recompute, boundaries):
    plain, recomputed = train('none', boundaries), train(recompute, boundaries)
    assert plain.keys() == recomputed.keys()
    assert all(torch.equal(value, recomputed[name]) for name, value in plain.items())


def test_recomputing_more_needs_less():
    steps = [
        dry_step(build(local(setting)), SGD, lambda: batch(128))
        for setting in ('none', 'cheap', 'units')
    ]
    none, cheap, units = (step.peak.total for step in steps)
    assert units < cheap < none
    assert steps[1].flops == pytest.approx(steps[0].flops, rel=0.01)
    assert steps[2].flops > 1.1 * steps[0].flops


def test_listed_groups_save_what_they_say():
    names = boundary_names(build(local('none')).backbone)
    ends = [*names, 'layer4.1']
    keep_all, keep_none = (
        dry_step(
            build(local([dict(end=end, saved=saved) for end in ends])),
            SGD,
            lambda: batch(128),
        )
        for saved in ('cheap', [])
    )
    assert keep_none.peak.total < keep_all.peak.total
    assert keep_none.flops > keep_all.flops


@pytest.mark.parametrize(
    ('recompute', 'error', 'message'),
    [
        ('all', ValueError, "one of none, cheap, units, auto, or a list of groups, got 'all'"),
        ('auto', ValueError, 'is planned with the boundaries: call mmseg_infopro.resolve'),
        ([dict(end='stem')], TypeError, r'a list of dict\(end=UNIT, saved=OPERATIONS\), got'),
        ([dict(end='stem', saved=['1'])], TypeError, "as 3 or '3:bmm', got ..1.. for the group"),
        ([dict(end='stem', saved=[-1])], TypeError, "as 3 or '3:bmm', got .-1. for the group"),
        ([dict(end='stem', saved=1)], TypeError, "as 3 or '3:bmm', got 1 for the group"),
        (
            [dict(end='stem', saved='none')],
            TypeError,
            "'units', 'layers' or a list",
        ),
        ([dict(end='layer9', saved=[])], ValueError, "ends at 'layer9'; units: stem, layer1.0"),
        (GROUPS[:-1], ValueError, "the last one ending at 'layer4.1', got"),
        (GROUPS[::-1], ValueError, 'in the order of the units'),
        ([*GROUPS[:4], GROUPS[-1]], ValueError, "must list a group that ends at 'layer3.1'"),
    ],
)
def test_a_wrong_setting_is_named(recompute, error, message):
    with pytest.raises(error, match=message):
        build(local(recompute))


def test_a_number_that_no_operation_has_is_named():
    groups = [dict(end='layer1.1', saved=[99]), *GROUPS[2:]]
    with pytest.raises(ValueError, match='numbers of compute operations, from 0 to'):
        train(groups, BOUNDARIES)


def test_an_operation_of_another_name_is_named():
    named = [dict(end='layer1.1', saved=['1:bmm']), *GROUPS[2:]]
    with pytest.raises(ValueError, match=r'operation 1 as bmm, and it is convolution here'):
        train(named, BOUNDARIES)


def test_a_list_without_its_boundaries_is_named():
    cfg = model_config(local=dict(num_modules=2, recompute=GROUPS))
    with pytest.raises(ValueError, match=r'a list in local.recompute'):
        build(cfg)


def test_checkpointing_of_the_backbone_is_refused():
    cfg = local('cheap')
    cfg['backbone']['with_cp'] = True
    with pytest.raises(ValueError, match=r'with_cp and local\.recompute .*got .cheap.'):
        build(cfg)
