"""CGNet under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN


class TestCGNet(BackboneContract):
    backbone = dict(
        type='InfoProCGNet',
        num_channels=(4, 8, 8),
        num_blocks=(2, 3),
        reductions=(2, 2),
        norm_cfg=BN,
    )
    variants = (dict(num_blocks=(1, 1)), dict(norm_eval=True))


def test_units_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(TestCGNet.backbone).units()]
    assert names == [
        *(f'stem.{layer}' for layer in (0, 1, 2)),
        *(f'level1.{block}' for block in (0, 1)),
        *(f'level2.{block}' for block in (0, 1, 2)),
    ]
