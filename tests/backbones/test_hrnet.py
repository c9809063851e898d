"""HRNet under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN


def extra(multiscale: tuple[int, ...] = (1, 2, 1)) -> dict:
    stage = dict(block='BASIC', num_modules=1)
    second, third, fourth = multiscale
    return dict(
        stage1=dict(
            num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(2,), num_channels=(4,)
        ),
        stage2=dict(
            stage, num_modules=second, num_branches=2, num_blocks=(1, 1), num_channels=(4, 8)
        ),
        stage3=dict(
            stage, num_modules=third, num_branches=3, num_blocks=(1,) * 3, num_channels=(4, 8, 12)
        ),
        stage4=dict(
            stage,
            num_modules=fourth,
            num_branches=4,
            num_blocks=(1,) * 4,
            num_channels=(4, 8, 12, 16),
        ),
    )


class TestHRNet(BackboneContract):
    backbone = dict(type='InfoProHRNet', extra=extra(), norm_cfg=BN)
    variants = (dict(multiscale_output=False), dict(norm_eval=True), dict(frozen_stages=2))


def test_every_piece_is_a_unit():
    backbone = MODELS.build(TestHRNet.backbone)
    assert [unit.name for unit in backbone.units()] == [
        'stem',
        'layer1.0',
        'layer1.1',
        'transition1',
        'stage2.0',
        'transition2',
        'stage3.0',
        'stage3.1',
        'transition3',
        'stage4.0',
    ]
