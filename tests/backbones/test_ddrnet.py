"""DDRNet under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN


class TestDDRNet(BackboneContract):
    backbone = dict(type='InfoProDDRNet', channels=4, ppm_channels=4, norm_cfg=BN)
    wide_size = (64, 128)
    variants = (dict(align_corners=True),)


def test_units_go_from_the_stem_through_both_branches_to_each_exchange():
    names = [unit.name for unit in MODELS.build(TestDDRNet.backbone).units()]
    branches = [
        [f'{b}_branch_layers.{stage}.{i}' for b in ('spatial', 'context') for i in range(depth)]
        for stage, depth in enumerate((2, 2, 1))
    ]
    assert names == [
        *('stem.0', 'stem.1', 'stem.2.0', 'stem.2.1', 'stem.4.0', 'stem.4.1'),
        *branches[0],
        'exchange_1',
        *branches[1],
        'exchange_2',
        *branches[2],
        'spp',
    ]


def test_the_auxiliary_feature_is_emitted_in_training_only():
    backbone = MODELS.build(TestDDRNet.backbone)
    for training, emitting in ((True, ['exchange_1', 'spp']), (False, ['spp'])):
        backbone.train(training)
        assert [unit.name for unit in backbone.units() if unit.emits] == emitting
