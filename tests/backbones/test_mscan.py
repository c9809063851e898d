"""MSCAN under contract."""

from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract
from tests.models import BN

TINY = dict(
    type='InfoProMSCAN',
    embed_dims=[4, 4, 8, 8],
    mlp_ratios=[2, 2, 2, 2],
    depths=[2, 1, 2, 1],
    drop_rate=0.1,
    drop_path_rate=0.3,
    norm_cfg=BN,
)
SMALL_KERNELS = dict(
    attention_kernel_sizes=[3, [1, 3], [1, 5], [1, 7]],
    attention_kernel_paddings=[1, [0, 1], [0, 2], [0, 3]],
)


class TestMSCAN(BackboneContract):
    backbone = TINY
    wide_size = (64, 90)
    variants = (dict(num_stages=3), dict(act_cfg=dict(type='ReLU'), **SMALL_KERNELS))


def test_units_are_named_as_the_parameters_are():
    names = [unit.name for unit in MODELS.build(TINY).units()]
    assert names[:4] == ['patch_embed1', 'block1.0', 'block1.1', 'patch_embed2']
    assert names[-1] == 'block4.0'
