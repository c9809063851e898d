"""Prediction in which the full-size logits of all classes never live at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads import DAHead, EncHead
from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import CascadeEncoderDecoder, EncoderDecoder
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.structures import SegDataSample
from mmseg.utils import OptSampleList, SampleList
from torch import Tensor, nn

from ..upstream import segmentor_logits

CHUNK = 32
"""Classes in a chunk: of every CPU's vector width a multiple, so that rounding does not change."""

SMALLEST_CHUNK = 16
"""With fewer channels, torch upsamples by other kernels, which round in another way."""

FOLLOWED = {
    'encode_decode': (EncoderDecoder.encode_decode, CascadeEncoderDecoder.encode_decode),
    'postprocess_result': (BaseSegmentor.postprocess_result,),
}
FOLLOWED_IN_HEAD = {
    'predict': (
        BaseDecodeHead.predict,
        BaseCascadeDecodeHead.predict,
        DAHead.predict,
        EncHead.predict,
    ),
    'predict_by_feat': (BaseDecodeHead.predict_by_feat,),
}
"""Implementations of mmseg's path to a prediction that :func:`predict_in_chunks` is equal to."""


def chunks_argmax(model: EncoderDecoder) -> bool:
    """Return whether ``model.test_cfg`` says ``chunked_argmax=True``.

    Raises:
        TypeError: It is no bool.
        ValueError: The predictions would not be those of mmseg.
    """
    test_cfg = model.test_cfg or {}
    chunked = test_cfg.get('chunked_argmax', False)
    if not isinstance(chunked, bool):
        raise TypeError(f'test_cfg.chunked_argmax must be True or False, got {chunked!r}')
    if not chunked:
        return False
    mode = test_cfg.get('mode', 'whole')
    if mode != 'whole':
        raise ValueError(
            f"test_cfg.chunked_argmax needs test_cfg.mode='whole', got {mode!r}: overlapping "
            'windows are summed in full-size logits'
        )
    for part, followed in ((model, FOLLOWED), (_last_head(model), FOLLOWED_IN_HEAD)):
        for name, implementations in followed.items():
            if getattr(type(part), name) not in implementations:
                raise ValueError(
                    f'test_cfg.chunked_argmax cannot predict as {type(part).__name__}.{name} '
                    'does, which is not that of mmseg: set it to False'
                )
    return True


def check_keeps_logits(model_cfg: Mapping[str, Any]) -> None:
    """Check that predictions of a model come with their logits, as test-time augmentation needs.

    Raises:
        ValueError: They do not.
    """
    if (model_cfg.get('test_cfg') or {}).get('chunked_argmax'):
        raise ValueError(
            'test-time augmentation averages logits, and model.test_cfg.chunked_argmax=True keeps '
            'none: set it to False'
        )


def predict_in_chunks(
    model: EncoderDecoder, inputs: Tensor, data_samples: OptSampleList = None
) -> SampleList:
    """Return what ``model.predict`` does, bit for bit, but for ``seg_logits``, which is not kept.

    mmseg resizes the logits of all classes to the network's input, takes the padding off, flips
    and resizes them to the image's original shape. Each of these treats every class by itself. So
    a few classes at a time go all the way, through mmseg's own code, and only the best class so
    far and its score stay.

    Args:
        model: For which :func:`chunks_argmax` raises nothing.
        inputs: Normalized images, ``(B, C, H, W)``.
        data_samples: Get the predictions, and tell the shapes; without them the predictions are
            of the inputs' shape.
    """
    logits = segmentor_logits(model, inputs, data_samples)
    # DAHead and EncHead predict by the first of several outputs.
    logits = logits[0] if isinstance(logits, tuple) else logits
    image_metas = [sample.metainfo for sample in data_samples or ()]
    image_metas = image_metas or [dict(img_shape=inputs.shape[2:])]
    best: list[tuple[Tensor, Tensor]] = []
    first_class = 0
    for chunk in class_chunks(logits):
        others = _best_of_chunk(model, chunk, image_metas, data_samples)
        if best:
            others = [_better(*pair, first_class) for pair in zip(best, others, strict=True)]
        best = others
        first_class += chunk.shape[1]
    if data_samples is None:
        data_samples = [SegDataSample() for _ in best]
    for sample, (_, classes) in zip(data_samples, best, strict=True):
        sample.set_data({'pred_sem_seg': PixelData(data=classes)})
    return data_samples


def class_chunks(logits: Tensor) -> Iterator[Tensor]:
    """Split logits ``(B, C, h, w)`` by classes into parts that torch upsamples as it would all."""
    channels_last = logits.stride(1) == 1
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    starts = range(CHUNK, logits.shape[1] - SMALLEST_CHUNK + 1, CHUNK)
    for chunk in logits.tensor_split(list(starts), dim=1):
        yield chunk.contiguous(memory_format=memory_format)


def _best_of_chunk(
    model: EncoderDecoder,
    chunk: Tensor,
    image_metas: list[dict[str, Any]],
    data_samples: OptSampleList,
) -> list[tuple[Tensor, Tensor]]:
    """Return the highest score and its class in the chunk, ``(1, H, W)`` each, per image."""
    if data_samples is not None:
        data_samples = [SegDataSample(metainfo=sample.metainfo) for sample in data_samples]
    logits = _last_head(model).predict_by_feat(chunk, image_metas)
    results = model.postprocess_result(logits, data_samples)
    return [
        (result.seg_logits.data.amax(dim=0, keepdim=True), result.pred_sem_seg.data)
        for result in results
    ]


def _better(
    best: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], first_class: int
) -> tuple[Tensor, Tensor]:
    """Return the pixelwise better one; as in ``argmax`` the first of equals wins, and NaN all."""
    (score, classes), (other_score, other_classes) = best, other
    wins = (other_score > score) | (other_score.isnan() & ~score.isnan())
    other_classes = other_classes + first_class
    return torch.where(wins, other_score, score), torch.where(wins, other_classes, classes)


def _last_head(model: EncoderDecoder) -> Any:
    head = model.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head
