"""Local heads: what trains a local module. Any mmseg decode head serves as a task head."""

from .building import build_local_heads, head_losses, loss_weights
from .pixel_contrast_head import PixelContrastHead
from .reconstruction_head import ReconstructionHead

__all__ = [
    'PixelContrastHead',
    'ReconstructionHead',
    'build_local_heads',
    'head_losses',
    'loss_weights',
]
