"""What a head rebuilds is the image in [0, 1], of whatever range the images have."""

import pytest
import torch
from mmengine.logging import MMLogger

from mmseg_infopro.local_heads.image_target import PATIENCE, ImageTarget
from tests.models import batch, build, model_config

torch.manual_seed(0)
PHOTO = torch.rand(4, 5, 32, 48)
PHOTO[:, :, 0, 0], PHOTO[:, :, 0, 1] = 0, 1
IDENTITY = [0.0] * 5, [1.0] * 5


def measured(image, mean=IDENTITY[0], std=IDENTITY[1]):
    return ImageTarget(mean, std, 'measured')(image)


KINDS = {  # a photo in other units: the target is the photo all the same
    'bytes': lambda x: 255 * x,
    '0 to 1': lambda x: x,
    '16 bits': lambda x: 10000 * x,
    'normalized': lambda x: (x - 0.45) / 0.22,
    'decibels': lambda x: -30 + 30 * x,
    'one band in other units': lambda x: x * torch.tensor([1, 255, 3000, 1, 1]).view(1, 5, 1, 1),
}


@pytest.mark.parametrize('kind', KINDS)
def test_the_range_is_measured(kind):
    target = measured(KINDS[kind](PHOTO))
    assert (target - PHOTO).abs().max() < 0.02
    assert target.std() > 0.9 * PHOTO.std()


def test_a_few_wild_pixels_and_missing_ones_do_not_count():
    image = 10000 * PHOTO
    image[0, :, 5, 5:8], image[1, :, 0, 0] = 1e9, torch.nan
    assert (measured(image)[2:] - PHOTO[2:]).abs().max() < 0.02


@pytest.mark.parametrize('image_range', [None, (0, 10000)])
def test_a_known_range_is_undone_exactly(image_range):
    mean, std = [40.0] * 5, [3.0] * 5
    image = PHOTO * (image_range or (0, 255))[1]
    target = ImageTarget(mean, std, image_range)((image - 40) / 3)
    torch.testing.assert_close(target, PHOTO, atol=1e-5, rtol=0)


def test_the_range_widens_over_the_first_images_and_is_then_kept_in_the_state():
    target = ImageTarget(*IDENTITY, 'measured')
    for step in range(20):
        target.observe(1000 * PHOTO * min(step + 1, 18) / 18)
    assert target.low.max() < 20
    assert 800 < target.high.min() < 920  # of the first 64 images, 16 steps
    other = ImageTarget(*IDENTITY, 'measured')
    other.load_state_dict(target.state_dict())
    other.observe(1e6 * PHOTO)
    assert torch.equal(other.high, target.high)


BLANK = {
    'black': (None, 0 * PHOTO),
    'pipeline normalizes': ((0, 255), PHOTO),
    'saturated': (None, 300 + 1000 * PHOTO),
    'measured': ('measured', 0 * PHOTO + 7),
}


@pytest.mark.parametrize('kind', BLANK)
def test_nothing_to_rebuild_is_told_and_then_refused(kind, monkeypatch):
    image_range, image = BLANK[kind]
    target, told = ImageTarget(*IDENTITY, image_range), []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', told.append)
    for _ in range(PATIENCE - 1):
        target.observe(image)
    assert len(told) == PATIENCE - 1
    with pytest.raises(ValueError, match=r'nothing to rebuild.*model\.local\.image_range'):
        target.observe(image)


def test_a_dark_batch_is_no_reason_to_stop():
    target = ImageTarget(*IDENTITY)
    for image in (0 * PHOTO, 255 * PHOTO, 0 * PHOTO, 0 * PHOTO, 0 * PHOTO):
        target.observe(image)


@pytest.mark.parametrize('value', [(1, 0), (0,), 'auto', ('a', 'b'), 255])
def test_what_is_no_range_is_refused(value):
    with pytest.raises(ValueError, match=r'image_range must be \(low, high\)'):
        ImageTarget(*IDENTITY, value)


BANDS = {
    'none': (dict(mean=None, std=None), 'measured'),
    'one for all': (dict(mean=[120.0], std=[60.0]), None),
    'of 16 bits': (dict(mean=[3000.0], std=[1500.0]), 'measured'),
}


@pytest.mark.parametrize(('normalization', 'expected'), BANDS.values(), ids=BANDS)
def test_channels_are_the_backbones_whatever_the_mean(normalization, expected):
    heads = [dict(type='ReconstructionHead', channels=8, hidden_channels=(4,))]
    cfg = model_config(local=dict(boundaries=['layer2.0'], heads=heads))
    cfg['backbone']['in_channels'] = 5
    cfg['data_preprocessor'].update(normalization, bgr_to_rgb=False)
    model = build(cfg)
    (head,) = model.border_heads(0)
    assert head.predict_image.out_channels == 5
    assert head.image.image_range == expected
    given = batch()
    given['inputs'] = [torch.cat([image, image[:2]]) for image in given['inputs']]
    prepared = model.data_preprocessor(given, training=True)
    losses = model.loss(prepared['inputs'], prepared['data_samples'])
    assert torch.isfinite(losses['local_0.loss_rec'])


def test_the_setting_reaches_the_heads():
    heads = [dict(type='ReconstructionHead')]
    cfg = model_config(local=dict(boundaries=['layer2.0'], heads=heads, image_range=(0, 1)))
    assert build(cfg).border_heads(0)[0].image.image_range == (0, 1)
