"""What local heads take over from the model that they are part of."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..backbones.supported import image_channels
from ..upstream import normalizes
from .image_target import BYTES, MEASURED
from .task_loss import task_loss

SHARED = ('num_classes', 'out_channels', 'threshold', 'ignore_index', 'align_corners', 'norm_cfg')
"""Attributes of the decode head that local heads take over."""


def head_defaults(model: Any) -> dict[str, Any]:
    """Return what a local head may take over from a segmentor; of a cascade, its last head's."""
    decode_head, preprocessor = model.decode_head, model.data_preprocessor
    if isinstance(decode_head, nn.ModuleList):
        decode_head = decode_head[-1]
    in_channels = image_channels(model.backbone)
    mean, std, image_range = [0.0] * in_channels, [1.0] * in_channels, model.image_range
    if normalizes(preprocessor):
        mean, std = (
            _by_channel(values, in_channels) for values in (preprocessor.mean, preprocessor.std)
        )
    is_of_bytes = normalizes(preprocessor) and max(mean) <= max(BYTES)
    if image_range is None and not is_of_bytes:
        image_range = MEASURED
    own = {name: getattr(decode_head, name) for name in SHARED if hasattr(decode_head, name)}
    return dict(
        own,
        image_mean=mean,
        image_std=std,
        image_range=image_range,
        task_loss=task_loss(decode_head),
    )


def _by_channel(values: Tensor, in_channels: int) -> list[float]:
    """Return a preprocessor's values for all channels: one, or those of one of several images."""
    own = values.flatten().tolist()
    repeated = own * (in_channels // len(own))
    if len(repeated) != in_channels:
        raise ValueError(
            f'the data preprocessor normalizes {len(own)} channels, and the backbone takes '
            f'{in_channels}'
        )
    return repeated
