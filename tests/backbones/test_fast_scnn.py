"""Fast-SCNN under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN


class TestFastSCNN(BackboneContract):
    backbone = dict(
        type='InfoProFastSCNN',
        downsample_dw_channels=(4, 4),
        global_in_channels=8,
        global_block_channels=(8, 8, 8),
        global_out_channels=8,
        higher_in_channels=8,
        lower_in_channels=8,
        fusion_out_channels=8,
        norm_cfg=BN,
    )
    variants = (dict(out_indices=(2,)), dict(out_indices=(-1, 0)), dict(align_corners=True))


def test_units_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(TestFastSCNN.backbone).units()]
    assert names == [
        *(f'learning_to_downsample.{layer}' for layer in ('conv', 'dsconv1', 'dsconv2')),
        *(
            f'global_feature_extractor.bottleneck{stage}.{block}'
            for stage in (1, 2, 3)
            for block in (0, 1, 2)
        ),
        'global_feature_extractor.out',
        'feature_fusion',
    ]
