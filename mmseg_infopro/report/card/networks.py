"""The networks of a report on a card, and a tiny one of each kind to see that everything runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mmengine.config import Config

from ...config.edit import override_step
from ...config.read import read_config
from ..tiny import NUM_CLASSES, tiny_plain


@dataclass(frozen=True)
class Network:
    """A network and its training step.

    Attributes:
        name: In rows and file names.
        read: Returns its config, plain or local.
        batch_size: Images.
        crop: Height and width, in pixels.
    """

    name: str
    read: Callable[[], Config]
    batch_size: int
    crop: tuple[int, int]

    def config(self, precision: str) -> Config:
        """Return its config with this step.

        Args:
            precision: A name of torch.
        """
        cfg = self.read()
        amp = 'none' if precision == 'float32' else precision
        override_step(cfg, self.batch_size, self.crop, amp)
        return cfg


def _shipped(name: str, path: str, batch_size: int, crop: tuple[int, int]) -> Network:
    return Network(name, partial(read_config, path), batch_size, crop)


def _tiny_transformer() -> Config:
    cfg = tiny_plain()
    cfg.model.backbone = dict(
        type='MixVisionTransformer', embed_dims=8, num_stages=4, num_layers=[2, 2, 2, 2],
        num_heads=[1, 2, 2, 2], patch_sizes=[7, 3, 3, 3], sr_ratios=[8, 4, 2, 1],
    )  # fmt: skip
    head: dict[str, Any] = dict(norm_cfg=dict(type='BN'), num_classes=NUM_CLASSES)
    cfg.model.decode_head = dict(
        type='SegformerHead', in_channels=[8, 16, 16, 16], in_index=[0, 1, 2, 3], channels=8, **head
    )
    cfg.model.pop('auxiliary_head')
    cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=1e-4)
    return cfg


CITYSCAPES, ADE = (512, 1024), (512, 512)
MAIN = _shipped('deeplabv3_r101', 'mmseg_infopro::cityscapes/lean_deeplabv3_r101.py', 4, CITYSCAPES)
NETWORKS = (
    MAIN,
    _shipped(
        'deeplabv3plus_r50',
        'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024.py',
        4,
        CITYSCAPES,
    ),
    _shipped(
        'segformer_b2', 'mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py', 8, ADE
    ),
    _shipped(
        'upernet_swin_t',
        'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py',
        8,
        ADE,
    ),
    _shipped(
        'ocrnet_hr48', 'mmseg::ocrnet/ocrnet_hr48_4xb2-80k_cityscapes-512x1024.py', 4, CITYSCAPES
    ),
    _shipped(
        'mobilenet_v2',
        'mmseg::mobilenet_v2/mobilenet-v2-d8_deeplabv3plus_4xb2-80k_cityscapes-512x1024.py',
        4,
        CITYSCAPES,
    ),
    _shipped('stdc1', 'mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py', 8, CITYSCAPES),
    _shipped(
        'upernet_deit_s', 'mmseg::vit/vit_deit-s16_upernet_8xb2-160k_ade20k-512x512.py', 8, ADE
    ),
)
TINY = (
    Network('tiny_resnet', tiny_plain, 2, (32, 32)),
    Network('tiny_transformer', _tiny_transformer, 2, (32, 32)),
)
HOST = Network('deeplabv3_r101_64x64', MAIN.read, 2, (64, 64))
"""The main one with maps so small that a step takes as long as the host needs to start it."""
