"""Sliding windows, test-time augmentation and depth: each way to predict goes through contexts.

What a model with contexts computes of one image is compared with formulas elsewhere.
"""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.structures import SegDataSample

from mmseg_infopro.local.context import features_in_context
from tests.local.by_formula import CONFIGS
from tests.models import NUM_CLASSES, build


@pytest.fixture
def model():
    return build(CONFIGS['resnet'](3, context=dict(type='ContextSupply'))).eval()


def logits(model, image):
    """Return the logits of an image, at its size."""
    raw = model._forward(image)
    return torch.nn.functional.interpolate(raw, image.shape[2:], mode='bilinear')


@torch.no_grad()
def test_windows_that_slide_are_averaged(model):
    image = torch.randn(1, 3, 64, 96)
    model.test_cfg = ConfigDict(mode='slide', crop_size=(64, 64), stride=(64, 32))
    total, count = torch.zeros(1, NUM_CLASSES, 64, 96), torch.zeros(96)
    for left in (0, 32):
        total[..., left : left + 64] += logits(model, image[..., left : left + 64])
        count[left : left + 64] += 1
    metas = [dict(ori_shape=(64, 96), img_shape=(64, 96), pad_shape=(64, 96))]
    torch.testing.assert_close(model.inference(image, metas), total / count)


@torch.no_grad()
def test_test_time_augmentation_averages_the_mirrored_image(model):
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    meta = dict(ori_shape=(64, 64), img_shape=(64, 64), pad_shape=(64, 64), img_path='')
    flipped = dict(meta, flip=True, flip_direction='horizontal')
    model.test_cfg = ConfigDict(mode='whole')
    images, metas = [[image], [image.flip(2)]], [dict(meta, flip=False), flipped]
    samples = [[SegDataSample(metainfo=meta)] for meta in metas]
    for (sample,) in samples:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 64, 64))
    (found,) = SegTTAModel(module=model).test_step(dict(inputs=images, data_samples=samples))
    normalized = model.data_preprocessor(dict(inputs=[image]), False)['inputs'].float()
    straight, mirrored = logits(model, normalized), logits(model, normalized.flip(3)).flip(3)
    expected = (straight.softmax(1) + mirrored.softmax(1)).argmax(1)
    assert (found.pred_sem_seg.data == expected).float().mean() > 0.999


@torch.no_grad()
def test_a_depth_estimator_hands_the_metas_of_images_on():
    plain, fed = (
        build(CONFIGS['resnet'](3, **local) | dict(type='InfoProDepthEstimator')).eval()
        for local in (dict(), dict(context=dict(type='ContextSupply')))
    )
    image, metas = torch.randn(1, 3, 64, 64), [dict(img_shape=(64, 64))]
    features = plain.backbone(image)
    expected = plain.decode_head.predict(features, metas, plain.test_cfg)
    assert torch.equal(plain.encode_decode(image, metas), expected)
    features = features_in_context(fed, image)
    expected = fed.decode_head.predict(features, metas, fed.test_cfg)
    assert torch.equal(fed.encode_decode(image, metas), expected)
