"""Measuring the peak bytes of a training step; knows nothing of segmentation."""

from .dry_step import (
    DryStep,
    PeakBytes,
    autocast_dtype,
    dry_step,
    dry_step_gradients,
    dry_step_peak,
    peak_beyond,
)
from .fake import UpperBounds, fake_copy
from .gpu_rules import gpu_rules
from .operations import Activations, ComputeOperation, Saved, measure_activations
from .real_step import RealStep
from .recompute import recompute
from .recompute_layers import recomputing
from .sizes import format_bytes, parse_bytes
from .timeline import draw_timelines

__all__ = [
    'Activations',
    'ComputeOperation',
    'DryStep',
    'PeakBytes',
    'RealStep',
    'Saved',
    'UpperBounds',
    'autocast_dtype',
    'draw_timelines',
    'dry_step',
    'dry_step_gradients',
    'dry_step_peak',
    'fake_copy',
    'format_bytes',
    'gpu_rules',
    'measure_activations',
    'parse_bytes',
    'peak_beyond',
    'recompute',
    'recomputing',
]
