"""The local head of greedy supervised learning: a linear classifier of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.registry import MODELS
from torch import Tensor

from ..upstream import head_inputs
from .border import total_channels
from .chunked_loss import ChunkedLoss


@MODELS.register_module()
class LinearHead(ChunkedLoss):
    """Classifies pixels by one 1x1 convolution of the border feature, without dropout.

    Greedy supervised learning, the baseline of https://arxiv.org/abs/2101.10832: the local loss is
    ``CE(W h + b, y)``, the logits upsampled as in every decode head. The loss is computed in
    chunks, see :class:`ChunkedLoss`.

    Args:
        in_channels: As for any decode head.
        channels: Those of its inputs; a linear classifier can have no others.
        dropout_ratio: As for any decode head.
        **kwargs: As for :class:`mmseg.models.decode_heads.decode_head.BaseDecodeHead`.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        channels: int | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        total = total_channels(in_channels)
        if channels not in (None, total):
            raise ValueError(f'channels of a LinearHead must be {total} there, got {channels}')
        super().__init__(in_channels, total, dropout_ratio=dropout_ratio, **kwargs)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the logits ``(B, num_classes, H, W)``, at the size of the border feature."""
        return self.cls_seg(head_inputs(self, inputs))
