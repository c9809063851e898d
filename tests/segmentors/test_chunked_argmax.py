"""Predictions in chunks of classes against mmseg's own `predict`, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.models.decode_heads import FCNHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.measure.fake import fake_copy
from mmseg_infopro.segmentors.chunked_argmax import (
    check_keeps_logits,
    chunks_argmax,
    class_chunks,
    predict_in_chunks,
)
from tests.models import build, model_config

SIZE = (48, 64)
SAME = dict(ori_shape=SIZE, img_shape=SIZE, pad_shape=SIZE)
METAS = {
    'same size': SAME,
    'larger': dict(SAME, ori_shape=(97, 131)),
    'smaller': dict(SAME, ori_shape=(31, 45)),
    'padded': dict(SAME, ori_shape=(41, 57), padding_size=[0, 7, 0, 7]),
    'padded on all sides': dict(SAME, ori_shape=(90, 150), img_padding_size=[3, 4, 2, 5]),
    'mirrored': dict(SAME, ori_shape=(60, 80), flip=True, flip_direction='horizontal'),
    'upside down': dict(SAME, flip=True, flip_direction='vertical'),
}
BN = dict(type='BN')
HEAD = dict(in_channels=64, channels=8, in_index=3, norm_cfg=BN, dropout_ratio=0, num_classes=70)
TWO_LEVELS = dict(HEAD, in_channels=[32, 64], in_index=(2, 3), num_codes=4)
HEADS = {
    'FCN': dict(HEAD, type='FCNHead', num_convs=1),
    'ASPP': dict(HEAD, type='ASPPHead', dilations=(1, 2)),
    'DA': dict(HEAD, type='DAHead', pam_channels=4),
    'Enc': dict(TWO_LEVELS, type='EncHead', use_se_loss=True),
    'Enc of one output': dict(TWO_LEVELS, type='EncHead', use_se_loss=False),
}
CASCADE = [HEADS['FCN'], dict(HEAD, type='OCRHead', ocr_channels=8)]
CUT = dict(boundaries=['layer2.0'])


def segmentor(head: str = 'FCN', local: dict[str, Any] | None = None, **settings: Any) -> Any:
    """A segmentor that predicts; without `local` it is plain mmseg's."""
    cfg = model_config(local=local)
    cfg.update(decode_head=dict(HEADS[head], **settings), test_cfg=ConfigDict(mode='whole'))
    return build(cfg).eval()


def cascade(local: dict[str, Any] | None = None) -> Any:
    cfg = model_config(local=local)
    cfg.update(
        type='CascadeEncoderDecoder' if local is None else 'InfoProCascadeEncoderDecoder',
        num_stages=2,
        decode_head=CASCADE,
        test_cfg=ConfigDict(mode='whole'),
    )
    return build(cfg).eval()


def random_segmentor(
    num_classes: int = 70,
    memory_format: torch.memory_format = torch.contiguous_format,
    **settings: Any,
) -> Any:
    """A segmentor whose head gives random logits, so that many classes win somewhere."""
    model = segmentor(num_classes=num_classes, **settings)
    model.decode_head.forward = lambda features: torch.randn(
        len(features[0]), num_classes, 7, 9, generator=torch.Generator().manual_seed(2)
    ).to(memory_format=memory_format)
    return model


def set_chunked(model: Any, **test_cfg: Any) -> Any:
    model.test_cfg = ConfigDict(mode='whole', chunked_argmax=True, **test_cfg)
    return model


def images(batch_size: int = 1) -> Tensor:
    return torch.randn(batch_size, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def samples(*metas: dict[str, Any]) -> list[SegDataSample]:
    return [SegDataSample(metainfo=meta) for meta in metas]


@torch.no_grad()
def check_same(model: Any, inputs: Tensor, *metas: dict[str, Any]) -> list[Tensor]:
    """Predict both ways; return the predictions if they are the same."""
    plain = model.predict(inputs, samples(*metas) or None)
    lean = predict_in_chunks(model, inputs, samples(*metas) or None)
    for one, other in zip(lean, plain, strict=True):
        assert one.pred_sem_seg.data.dtype == other.pred_sem_seg.data.dtype
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
    return [sample.pred_sem_seg.data for sample in lean]


@pytest.mark.parametrize('head', HEADS)
def test_heads_predict_as_in_mmseg(head: str) -> None:
    (classes,) = check_same(segmentor(head), images(), METAS['padded'])
    assert classes.shape == (1, 41, 57)
    assert classes.unique().numel() > 1


def test_a_cascade_predicts_as_in_mmseg() -> None:
    (classes,) = check_same(cascade(), images(), METAS['larger'])
    assert classes.unique().numel() > 1


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('meta', METAS)
def test_sizes_padding_and_flips_are_those_of_mmseg(meta: str, align_corners: bool) -> None:
    (classes,) = check_same(random_segmentor(align_corners=align_corners), images(), METAS[meta])
    assert classes.shape == (1, *METAS[meta]['ori_shape'])
    assert classes.unique().numel() > 20


def test_every_image_of_a_batch_gets_its_own_shape() -> None:
    first, second = check_same(random_segmentor(), images(2), METAS['larger'], METAS['mirrored'])
    assert (first.shape, second.shape) == ((1, 97, 131), (1, 60, 80))


def test_without_data_samples_the_prediction_is_of_the_inputs_shape() -> None:
    first, second = check_same(random_segmentor(), images(2))
    assert first.shape == second.shape == (1, *SIZE)


@pytest.mark.parametrize('num_classes', [2, 3, 31, 33, 48, 67, 96, 150])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_any_number_of_classes(num_classes: int, memory_format: torch.memory_format) -> None:
    model = random_segmentor(num_classes, memory_format)
    check_same(model, images(), METAS['larger'])
    check_same(model, images(), METAS['smaller'])


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(45, 37), (101, 135)])  # torch has kernels for small results
def test_chunks_are_rounded_as_all_classes_are(
    size: tuple[int, int], memory_format: torch.memory_format, dtype: torch.dtype
) -> None:
    logits = torch.randn(1, 99, 13, 17, generator=torch.Generator().manual_seed(3))
    logits = logits.to(dtype).to(memory_format=memory_format)
    whole = F.interpolate(logits, size, mode='bilinear')
    parts = [F.interpolate(part, size, mode='bilinear') for part in class_chunks(logits)]
    assert len(parts) == 3
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_one_output_channel_is_compared_with_the_threshold() -> None:
    model = segmentor(num_classes=2, out_channels=1, threshold=0.5)
    model.decode_head.conv_seg.bias.data.fill_(0.1)
    (foreground,) = check_same(model, images(), METAS['larger'])
    assert set(foreground.unique().tolist()) <= {0.0, 1.0}


def test_of_equal_logits_the_first_class_wins() -> None:
    model = segmentor()
    model.decode_head.conv_seg.weight.data.zero_()
    (classes,) = check_same(model, images(), SAME)
    assert not classes.any()


def test_logits_that_are_no_numbers_win_as_in_argmax() -> None:
    model = segmentor()
    model.decode_head.conv_seg.bias.data[[40, 60]] = torch.nan
    (classes,) = check_same(model, images(), SAME)
    assert (classes == 40).all()


def test_half_precision_with_its_many_ties() -> None:
    model = random_segmentor()
    forward = model.decode_head.forward
    model.decode_head.forward = lambda features: forward(features).bfloat16()
    check_same(model, images(), METAS['larger'])


@pytest.mark.parametrize('build_model', [segmentor, cascade])
def test_the_setting_drops_the_logits_and_keeps_the_prediction(build_model: Any) -> None:
    model = build_model(local=CUT)
    with torch.no_grad():
        plain = model.predict(images(), samples(METAS['larger']))[0]
        lean = set_chunked(model).predict(images(), samples(METAS['larger']))[0]
    assert 'seg_logits' in plain and 'seg_logits' not in lean
    assert torch.equal(lean.pred_sem_seg.data, plain.pred_sem_seg.data)


def test_what_a_sample_holds_stays() -> None:
    data_samples = samples(dict(SAME, img_path='image.png'))
    with torch.no_grad():
        predictions = predict_in_chunks(segmentor(), images(), data_samples)
    assert predictions is data_samples
    assert data_samples[0].img_path == 'image.png'


def test_the_peak_of_150_classes_at_1024x2048_falls() -> None:
    full_size = 150 * 1024 * 2048 * 4
    model = segmentor(num_classes=150)
    mode = FakeTensorMode()
    model = fake_copy(model, mode)
    shape = (1024, 2048)
    metas = dict(ori_shape=shape, img_shape=shape, pad_shape=shape)
    with mode, torch.no_grad():
        inputs = torch.empty(1, 3, *shape)
        plain = peak_beyond(lambda: model.predict(inputs, samples(metas)))
        lean = peak_beyond(lambda: predict_in_chunks(model, inputs, samples(metas)))
    assert plain > 2 * full_size
    assert lean < 0.6 * full_size


def test_off_unless_it_is_asked_for() -> None:
    model = segmentor()
    assert not chunks_argmax(model)
    model.test_cfg = None
    assert not chunks_argmax(model)
    assert chunks_argmax(set_chunked(model))


def test_the_setting_is_true_or_false() -> None:
    model = segmentor()
    model.test_cfg = ConfigDict(mode='whole', chunked_argmax=32)
    with pytest.raises(TypeError, match='chunked_argmax must be True or False, got 32'):
        chunks_argmax(model)


def test_sliding_windows_are_refused() -> None:
    model = segmentor()
    model.test_cfg = ConfigDict(mode='slide', crop_size=SIZE, stride=SIZE, chunked_argmax=True)
    with pytest.raises(ValueError, match=r"needs test_cfg.mode='whole', got 'slide'"):
        chunks_argmax(model)


def test_a_head_that_predicts_in_its_own_way_is_refused() -> None:
    class Refining(FCNHead):
        def predict(self, *args: Any) -> Tensor:
            return super().predict(*args).round()

    model = set_chunked(segmentor())
    model.decode_head.__class__ = Refining
    with pytest.raises(ValueError, match=r'cannot predict as Refining.predict does'):
        chunks_argmax(model)


def test_a_segmentor_that_predicts_in_its_own_way_is_refused() -> None:
    class Doubling(EncoderDecoder):
        def postprocess_result(self, seg_logits: Tensor, data_samples: Any = None) -> Any:
            return super().postprocess_result(2 * seg_logits, data_samples)

    model = set_chunked(segmentor())
    model.__class__ = Doubling
    with pytest.raises(ValueError, match=r'cannot predict as Doubling.postprocess_result does'):
        chunks_argmax(model)


def test_test_time_augmentation_needs_the_logits() -> None:
    check_keeps_logits(dict(type='EncoderDecoder'))
    check_keeps_logits(dict(test_cfg=dict(mode='whole')))
    with pytest.raises(ValueError, match='averages logits'):
        check_keeps_logits(dict(test_cfg=dict(mode='whole', chunked_argmax=True)))
