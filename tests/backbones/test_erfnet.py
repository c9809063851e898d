"""ERFNet under contract."""

from tests.backbones.contract import BackboneContract
from tests.models import BN


class TestERFNet(BackboneContract):
    backbone = dict(
        type='InfoProERFNet',
        enc_downsample_channels=(4, 8, 16),
        enc_stage_non_bottlenecks=(1, 2),
        enc_non_bottleneck_dilations=(2, 4),
        enc_non_bottleneck_channels=(8, 16),
        dec_upsample_channels=(8, 4),
        dec_stages_non_bottleneck=(1, 1),
        dec_non_bottleneck_channels=(8, 4),
        dropout_ratio=0.1,
        norm_cfg=BN,
    )
    variants = (dict(enc_stage_non_bottlenecks=(2, 4)),)
