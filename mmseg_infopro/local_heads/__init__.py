"""Local heads: what trains a local module. Any mmseg decode head serves as a task head."""

from .bottleneck_head import BottleneckHead
from .building import build_local_heads, head_losses, loss_weights
from .chunked_loss import ChunkedLoss
from .pixel_contrast_head import PixelContrastHead
from .reconstruction_head import ReconstructionHead

__all__ = [
    'BottleneckHead',
    'ChunkedLoss',
    'PixelContrastHead',
    'ReconstructionHead',
    'build_local_heads',
    'head_losses',
    'loss_weights',
]
