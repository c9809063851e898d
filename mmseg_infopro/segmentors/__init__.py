"""Segmentors that train in local modules."""

from .backbone_facts import supported_backbones
from .encoder_decoder import (
    InfoProCascadeEncoderDecoder,
    InfoProDepthEstimator,
    InfoProEncoderDecoder,
)
from .local_modules import LocalModule
from .partition_names import describe_partition, trained_boundaries

__all__ = [
    'InfoProCascadeEncoderDecoder',
    'InfoProDepthEstimator',
    'InfoProEncoderDecoder',
    'LocalModule',
    'describe_partition',
    'supported_backbones',
    'trained_boundaries',
]
