"""Tiny segmentors and batches that the tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmseg_infopro  # noqa: F401
from mmseg_infopro.backbones import FeatureShape
from mmseg_infopro.local_heads.border import Border
from mmseg_infopro.measure.dry_step import dry_step
from mmseg_infopro.measure.peaks import PeakBytes

NUM_CLASSES = 5
BACKBONES: dict[str, dict[str, Any]] = {
    'InfoProResNet': dict(depth=18, base_channels=8, stem_channels=8),
    'InfoProResNetV1c': dict(depth=18, base_channels=8, stem_channels=8),
    'InfoProResNetV1d': dict(depth=50, base_channels=4, stem_channels=8),
    'InfoProResNeXt': dict(depth=50, base_channels=8, stem_channels=8, groups=2, base_width=8),
    'InfoProResNeSt': dict(depth=50, base_channels=8, stem_channels=8, base_width=8),
}
DILATED = dict(num_stages=4, out_indices=(0, 1, 2, 3), strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4))
BN = dict(type='BN', requires_grad=True)
GN = dict(type='GN', num_groups=2, requires_grad=True)
HEADS = [
    dict(type='FCNHead', channels=8, num_convs=1, concat_input=False, dropout_ratio=0),
    dict(type='ReconstructionHead', channels=8, hidden_channels=(4,), loss_weight=1.5),
]


def out_channels(backbone: str) -> tuple[int, int]:
    """Channels of the third and the fourth stage."""
    cfg = BACKBONES[backbone]
    expansion = 1 if cfg['depth'] == 18 else 4
    return cfg['base_channels'] * 4 * expansion, cfg['base_channels'] * 8 * expansion


def model_config(
    backbone: str = 'InfoProResNetV1c',
    local: dict[str, Any] | None = None,
    norm: dict[str, Any] = BN,
    **overrides: Any,
) -> dict[str, Any]:
    """Return an FCN with an auxiliary head; plain mmseg where ``local`` is None."""
    third, fourth = out_channels(backbone)
    head = dict(
        type='FCNHead',
        channels=8,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0,
        num_classes=NUM_CLASSES,
        norm_cfg=norm,
    )
    cfg = dict(
        type='EncoderDecoder' if local is None else 'InfoProEncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            size=(64, 64),
        ),
        backbone=dict(
            type=backbone if local is not None else backbone.removeprefix('InfoPro'),
            norm_cfg=norm,
            **DILATED,
            **BACKBONES[backbone],
        ),
        decode_head=dict(head, in_channels=fourth, in_index=3),
        auxiliary_head=dict(
            head,
            in_channels=third,
            in_index=2,
            loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
        **overrides,
    )
    if local is not None:
        cfg['local'] = {'heads': HEADS, **local}
    return cfg


def border_at(shapes: Sequence[FeatureShape], index: int | None = 0, **kwargs: Any) -> Border:
    """Return a border behind which one unit of no backbone follows."""
    kwargs = {
        'later': (),
        'backbone': None,
        'trace': None,
        'flops_per_pixel': 0.0,
        'entry': (FeatureShape(3, 1.0),),
        **kwargs,
    }
    return Border('unit', tuple(shapes), index=index, **kwargs)


def dry_step_peak(*args: Any) -> PeakBytes:
    """Return the peak of a dry step."""
    return dry_step(*args).peak


@contextmanager
def disable_logging() -> Iterator[None]:
    """Silence mmengine's line per initialized parameter."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def build(cfg: dict[str, Any], seed: int = 0) -> Any:
    """Build a model with weights that depend on the seed only."""
    torch.manual_seed(seed)
    model = MODELS.build(deepcopy(cfg))
    with disable_logging():
        model.init_weights()
    # Zero-initialized residual branches would hide errors in the blocks.
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1 and name.endswith('weight'):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    model.train()
    return model


def batch(size: int = 64, batch_size: int = 2, seed: int = 0) -> dict[str, Any]:
    """Make what a data loader yields: uint8 images, labels with some ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(batch_size):
        label = torch.randint(0, NUM_CLASSES, (1, size, size), generator=generator)
        label[:, :5] = 255
        sample = SegDataSample(metainfo=dict(img_shape=(size, size), ori_shape=(size, size)))
        sample.gt_sem_seg = PixelData(data=label)
        samples.append(sample)
    images = [
        torch.randint(0, 256, (3, size, size), generator=generator, dtype=torch.uint8)
        for _ in range(batch_size)
    ]
    return dict(inputs=images, data_samples=samples)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    """Return the gradients that a model holds."""
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


class KeepGradients:
    """Stands in for an OptimWrapper's optimizer step: nothing is updated, nothing is zeroed."""

    @staticmethod
    def wrap(model: Any, **kwargs: Any) -> Any:
        """Return an OptimWrapper whose optimizer keeps the gradients of the step."""
        from mmengine.optim import OptimWrapper

        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0), **kwargs)
        wrapper.zero_grad = lambda **_: None
        return wrapper
