"""What local heads take over from the model that they are part of."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..backbones.supported import image_channels
from ..upstream import normalizes
from .task_loss import task_loss

SHARED = ('num_classes', 'out_channels', 'threshold', 'ignore_index', 'align_corners', 'norm_cfg')
"""Attributes of the decode head that local heads take over."""


def head_defaults(model: Any) -> dict[str, Any]:
    """Return what a local head may take over from a segmentor; of a cascade, its last head's."""
    decode_head, preprocessor = model.decode_head, model.data_preprocessor
    if isinstance(decode_head, nn.ModuleList):
        decode_head = decode_head[-1]
    in_channels = image_channels(model.backbone)
    mean, std = [0.0] * in_channels, [1.0] * in_channels
    if normalizes(preprocessor):
        mean, std = (
            values.flatten().expand(in_channels).tolist()  # one value may stand for all channels
            for values in (preprocessor.mean, preprocessor.std)
        )
    own = {name: getattr(decode_head, name) for name in SHARED if hasattr(decode_head, name)}
    return dict(own, image_mean=mean, image_std=std, task_loss=task_loss(decode_head))
