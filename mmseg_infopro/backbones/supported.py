"""What a segmentor asks of its backbone before it is cut."""

from __future__ import annotations

from mmseg.registry import MODELS
from torch import nn

from ..recompute.groups import Recompute
from .unrolled import UnrolledBackbone


def image_channels(backbone: nn.Module) -> int:
    """Return the channels of the images that a backbone takes: those of its first convolution."""
    return next(layer.in_channels for layer in backbone.modules() if isinstance(layer, nn.Conv2d))


def supported_backbones() -> list[str]:
    """Return the names of all registered backbones that can be cut."""
    return sorted(
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, UnrolledBackbone)
    )


def check_backbone(backbone: nn.Module, recompute: Recompute) -> None:
    """Check that a backbone can be cut, and recompute as asked.

    Raises:
        TypeError: It is no unrolled backbone.
        ValueError: It recomputes by itself already.
    """
    if not isinstance(backbone, UnrolledBackbone):
        raise TypeError(
            f'backbone {type(backbone).__name__} cannot be cut into local modules; '
            f'supported: {", ".join(supported_backbones())}'
        )
    if recompute != 'none' and _checkpoints(backbone):
        raise ValueError(
            'backbone.with_cp and local.recompute compute the same activations again: set '
            f"with_cp=False, or local.recompute='none', got {recompute!r}"
        )


def check_cut(backbone: nn.Module) -> None:
    """Check that a backbone may be cut, K > 1, as it is configured.

    mmseg's blocks checkpoint only where their input needs a gradient, and that of a local module
    does not: the first block of each would be left out, without a word.

    Raises:
        ValueError: It checkpoints by itself.
    """
    if _checkpoints(backbone):
        raise ValueError(
            'backbone.with_cp=True leaves out the first block of every local module: set '
            "with_cp=False, and local.recompute='units' for the same saving"
        )


def _checkpoints(backbone: nn.Module) -> bool:
    return any(getattr(layer, 'with_cp', False) for layer in backbone.modules())
