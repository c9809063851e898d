"""The size that is planned for is the largest that mmseg's own pipeline makes."""

import numpy as np
import pytest
from mmengine.dataset import Compose

from mmseg_infopro.config.image_size import made_size

DRAWS = 60
CROP = dict(type='RandomCrop', crop_size=(64, 96))
SMALL = dict(type='RandomCrop', crop_size=(32, 40))
FIXED = dict(type='Resize', scale=(96, 64), keep_ratio=False)
ENLARGE = dict(type='RandomResize', scale=(400, 300), ratio_range=(1.0, 2.0), keep_ratio=True)
FLIP = dict(type='RandomFlip', prob=0.5)
PIPELINES = {
    'crop': [CROP],
    'crop after a resize': [ENLARGE, FLIP, CROP],
    'fixed': [FIXED, FLIP],
    'fixed by a factor': [CROP, dict(type='Resize', scale_factor=0.5)],
    'by two factors': [CROP, dict(type='Resize', scale_factor=(2.0, 0.5))],
    'applied at times, smaller': [CROP, dict(type='RandomApply', transforms=[SMALL])],
    'applied at times, larger': [SMALL, dict(type='RandomApply', transforms=[FIXED, FLIP])],
    'one of single ones': [ENLARGE, dict(type='RandomChoice', transforms=[SMALL, CROP])],
    'one of single ones, turned': [ENLARGE, dict(type='RandomChoice', transforms=[CROP, SMALL])],
    'one of lists': [ENLARGE, dict(type='RandomChoice', transforms=[[FIXED, SMALL], [CROP]])],
    'one or nothing': [CROP, dict(type='RandomChoice', transforms=[[SMALL], [FLIP]])],
    'nested': [
        CROP,
        dict(
            type='RandomApply',
            transforms=[dict(type='RandomChoice', transforms=[[SMALL], [FIXED]])],
        ),
    ],
    'padded to a size': [SMALL, dict(type='Pad', size=(48, 80))],
    'padded less': [CROP, dict(type='Pad', size=(48, 80))],
    'padded to multiples': [SMALL, dict(type='Pad', size_divisor=50)],
    'padded to a square': [SMALL, dict(type='Pad', pad_to_square=True)],
    'padded to a square of multiples': [
        SMALL,
        dict(type='Pad', pad_to_square=True, size_divisor=32),
    ],
    'resized to multiples': [CROP, dict(type='ResizeToMultiple', size_divisor=50)],
    'turned': [CROP, dict(type='RandomRotFlip', rotate_prob=0.0, flip_prob=1.0)],
    'rotated': [CROP, dict(type='RandomRotate', prob=1.0, degree=30)],
    'centre': [ENLARGE, dict(type='CenterCrop', crop_size=(96, 64))],
    'several sizes': [ENLARGE],
    'one of them varies': [dict(type='RandomChoice', transforms=[[CROP], [ENLARGE]])],
}


def largest_made(transforms: list) -> tuple[int, int] | None:
    """Run a pipeline often; None if the sizes are those of the images, or vary on and on."""
    pipeline, sizes = Compose(transforms), set()
    for _ in range(DRAWS):
        image = np.zeros((150, 200, 3), np.uint8)
        sample = dict(img=image, gt_seg_map=image[..., 0], seg_fields=['gt_seg_map'])
        sizes.add(pipeline({**sample, 'img_shape': image.shape[:2]})['img'].shape[:2])
    if len(sizes) > 4:
        return None
    return max(height for height, _ in sizes), max(width for _, width in sizes)


@pytest.mark.parametrize('name', PIPELINES)
def test_the_largest_image_is_found(name: str) -> None:
    np.random.seed(0)
    assert made_size(PIPELINES[name]) == largest_made(PIPELINES[name])
