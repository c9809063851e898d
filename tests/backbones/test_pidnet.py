"""PIDNet under contract."""

from mmseg.registry import MODELS

from mmseg_infopro.backbones import numbered_emits
from tests.backbones.contract import BackboneContract
from tests.models import BN


class TestPIDNet(BackboneContract):
    backbone = dict(
        type='InfoProPIDNet', channels=4, ppm_channels=5, num_branch_blocks=2, norm_cfg=BN
    )
    wide_size = (64, 128)
    variants = (dict(align_corners=True), dict(num_stem_blocks=3))


def test_units_go_from_the_stem_through_all_branches_to_each_exchange():
    names = [unit.name for unit in MODELS.build(TestPIDNet.backbone).units()]
    assert names[5:14] == [
        'stem.4.1',
        *('p_branch_layers.0.0', 'p_branch_layers.0.1'),
        *('i_branch_layers.0.0', 'i_branch_layers.0.1'),
        'd_branch_layers.0',
        'exchange_1',
        *('p_branch_layers.1.0', 'p_branch_layers.1.1'),
    ]
    assert names[-3:] == ['d_branch_layers.2.0', 'spp', 'dfm']


def test_features_of_the_heads_of_training_are_emitted_in_training_only():
    backbone = MODELS.build(TestPIDNet.backbone)
    for training, expected in (
        (True, {'exchange_1': 0, 'exchange_2': 2, 'dfm': 1}),
        (False, {'dfm': 0}),
    ):
        backbone.train(training)
        units = backbone.units()
        emits = zip(units, numbered_emits(units), strict=True)
        assert {unit.name: index for unit, own in emits for index, _ in own} == expected
