"""UNet under contract."""

import pytest
import torch
from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN

STAGES = dict(
    num_stages=3,
    strides=(1, 1, 1),
    enc_num_convs=(1, 2, 1),
    dec_num_convs=(1, 2),
    downsamples=(True, True),
    enc_dilations=(1, 1, 1),
    dec_dilations=(1, 1),
)


class TestUNet(BackboneContract):
    backbone = dict(type='InfoProUNet', base_channels=4, norm_cfg=BN, **STAGES)
    variants = (
        dict(downsamples=(True, False)),
        dict(upsample_cfg=dict(type='DeconvModule')),
        dict(norm_eval=True),
        dict(
            num_stages=1,
            strides=(1,),
            enc_num_convs=(1,),
            dec_num_convs=(),
            downsamples=(),
            enc_dilations=(1,),
            dec_dilations=(),
        ),
    )


def test_units_go_down_and_up():
    names = [unit.name for unit in MODELS.build(TestUNet.backbone).units()]
    assert names == ['encoder.0', 'encoder.1', 'encoder.2', 'decoder.1', 'decoder.0']


def test_a_size_that_cannot_be_halved_is_refused_as_in_the_parent():
    backbone = MODELS.build(TestUNet.backbone)
    with pytest.raises(AssertionError, match='should be divisible'):
        backbone.units()[0].apply(backbone, torch.zeros(1, 3, 30, 30))
