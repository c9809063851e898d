"""Twelve networks, three caps: what `fit` recommends is no worse than what is found by hand."""

import pytest

from tests.tools.fit_by_hand import check_network

pytestmark = pytest.mark.campaign

NETWORKS = (
    'deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024',
    'deeplabv3/deeplabv3_r101-d8_4xb2-40k_cityscapes-512x1024',
    'pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512',
    'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    'ocrnet/ocrnet_hr48_4xb2-40k_cityscapes-512x1024',
    'mobilenet_v2/mobilenet-v2-d8_deeplabv3_4xb2-80k_cityscapes-512x1024',
    'stdc/stdc1_4xb12-80k_cityscapes-512x1024',
    'bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024',
    'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024',
    'twins/twins_svt-s_fpn_fpnhead_8xb4-80k_ade20k-512x512',
    'unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024',
)


@pytest.mark.parametrize('network', NETWORKS)
def test_no_way_found_by_hand_is_better(monkeypatch, run_at_root, tmp_path, network):
    config, caps = f'mmseg::{network}.py', ['60%', '40%', '25%']
    said = check_network(monkeypatch, run_at_root, tmp_path, config, None, caps, [1, 2, 4])
    print(network, *said, sep='\n    ')
