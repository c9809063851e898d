"""Metrics."""

from .image_counts import ImageCountsMetric

__all__ = ['ImageCountsMetric']
