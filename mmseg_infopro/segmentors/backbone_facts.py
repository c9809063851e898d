"""What a segmentor asks of its backbone before it is cut."""

from __future__ import annotations

from mmseg.registry import MODELS
from torch import nn

from ..backbones import UnrolledBackbone


def image_channels(backbone: nn.Module) -> int:
    """Return the channels of the images that a backbone takes: those of its first convolution."""
    return next(layer.in_channels for layer in backbone.modules() if isinstance(layer, nn.Conv2d))


def checkpoints(backbone: nn.Module) -> bool:
    """Return whether a backbone recomputes activations by itself."""
    return any(getattr(layer, 'with_cp', False) for layer in backbone.modules())


def supported_backbones() -> list[str]:
    """Return the names of all registered backbones that can be cut."""
    return sorted(
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, UnrolledBackbone)
    )
