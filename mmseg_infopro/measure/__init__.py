"""Bytes, FLOPs and seconds of a training step; knows nothing of segmentation."""
