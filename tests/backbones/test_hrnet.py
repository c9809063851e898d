"""HRNet under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN


def stage(num_channels: tuple[int, ...], num_modules: int = 1) -> dict:
    num_branches = len(num_channels)
    return dict(
        num_modules=num_modules,
        num_branches=num_branches,
        block='BASIC',
        num_blocks=(1,) * num_branches,
        num_channels=num_channels,
    )


EXTRA = dict(
    stage1=dict(stage((4,)), block='BOTTLENECK', num_blocks=(2,)),
    stage2=stage((4, 8)),
    stage3=stage((4, 8, 12), num_modules=2),
    stage4=stage((4, 8, 12, 16)),
)


class TestHRNet(BackboneContract):
    backbone = dict(type='InfoProHRNet', extra=EXTRA, norm_cfg=BN)
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
