"""Segmentors that train in local modules."""

from .encoder_decoder import (
    InfoProCascadeEncoderDecoder,
    InfoProDepthEstimator,
    InfoProEncoderDecoder,
)

__all__ = ['InfoProCascadeEncoderDecoder', 'InfoProDepthEstimator', 'InfoProEncoderDecoder']
