"""Local heads: what trains a local module. Any mmseg decode head serves as a task head."""

from .bottleneck_head import BottleneckHead
from .building import build_local_heads, head_losses, loss_weights
from .chunked_loss import ChunkedLoss
from .feature_reconstruction_head import FeatureReconstructionHead
from .fitted_reconstruction_head import FittedReconstructionHead
from .fitted_task_head import FittedTaskHead
from .grown_head import GrownHead
from .linear_head import LinearHead
from .mlp_head import MLPHead
from .momentum_head import MomentumHead
from .pixel_contrast_head import PixelContrastHead
from .reconstruction_head import ReconstructionHead
from .residual_penalty import ResidualPenalty
from .similarity_head import SimilarityHead

__all__ = [
    'BottleneckHead',
    'ChunkedLoss',
    'FeatureReconstructionHead',
    'FittedReconstructionHead',
    'FittedTaskHead',
    'GrownHead',
    'LinearHead',
    'MLPHead',
    'MomentumHead',
    'PixelContrastHead',
    'ReconstructionHead',
    'ResidualPenalty',
    'SimilarityHead',
    'build_local_heads',
    'head_losses',
    'loss_weights',
]
