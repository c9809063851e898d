"""Measuring the peak bytes of a training step; knows nothing of segmentation."""

from .dry_step import PeakBytes, dry_step_gradients, dry_step_peak, peak_beyond
from .fake import UpperBounds, fake_copy
from .sizes import format_bytes, parse_bytes

__all__ = [
    'PeakBytes',
    'UpperBounds',
    'dry_step_gradients',
    'dry_step_peak',
    'fake_copy',
    'format_bytes',
    'parse_bytes',
    'peak_beyond',
]
