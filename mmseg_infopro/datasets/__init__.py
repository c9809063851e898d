"""Data sets, checked loading, and generated street scenes."""

from .camvid import CamVidDataset
from .checks import check_data
from .first_sample import check_first_samples
from .labels import check_labels
from .loading import LoadCheckedAnnotations, LoadCheckedImage
from .row_sampler import RowSampler
from .stream import SeededDataset, StreamSampler

__all__ = [
    'CamVidDataset',
    'LoadCheckedAnnotations',
    'LoadCheckedImage',
    'RowSampler',
    'SeededDataset',
    'StreamSampler',
    'check_data',
    'check_first_samples',
    'check_labels',
]
