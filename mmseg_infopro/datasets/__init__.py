"""Data sets, checked loading, and generated street scenes."""

from mmseg_infopro.datasets.camvid import CamVidDataset
from mmseg_infopro.datasets.checks import check_data
from mmseg_infopro.datasets.loading import LoadCheckedAnnotations, LoadCheckedImage
from mmseg_infopro.datasets.stream import SeededDataset, StreamSampler

__all__ = [
    'CamVidDataset',
    'LoadCheckedAnnotations',
    'LoadCheckedImage',
    'SeededDataset',
    'StreamSampler',
    'check_data',
]
