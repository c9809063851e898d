"""How large the images are that transforms make, at most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .walk import type_name

Transform = Mapping[str, Any]
Size = tuple[int, int]

CHANGES_SIZE = ('RandomResize', 'RandomChoiceResize', 'ResizeShortestEdge')
"""Transforms that leave images of several sizes, if no crop follows."""


def largest(sizes: Sequence[Size]) -> Size | None:
    """Return the height and width that all of some sizes are within."""
    return (max(h for h, _ in sizes), max(w for _, w in sizes)) if sizes else None


def made_size(transforms: Sequence[Any], size: Size | None = None) -> Size | None:
    """Return (height, width) of the images that transforms make, at most; None if it varies.

    Args:
        transforms: In order.
        size: Of the images before.
    """
    for transform in transforms:
        if not isinstance(transform, Mapping):
            continue
        branches = _branches(transform)
        if branches:
            size = _within_all([made_size(branch, size) for branch in branches])
        else:
            size = _made_by_one(transform, size)
    return size


def _within_all(sizes: Sequence[Size | None]) -> Size | None:
    known = [found for found in sizes if found is not None]
    return largest(known) if len(known) == len(sizes) else None


def _made_by_one(transform: Transform, size: Size | None) -> Size | None:
    name = type_name(transform)
    if transform.get('crop_size') is not None:
        crop = as_size(transform['crop_size'])
        return crop[::-1] if name == 'CenterCrop' else crop
    if name == 'Resize':
        return _resized(transform, size)
    if name == 'Pad':
        return _padded(transform, size)
    if name == 'ResizeToMultiple':
        return _to_multiple(size, transform.get('size_divisor', 32))
    if name == 'RandomRotFlip' and size is not None:
        return largest([size, size[::-1]])
    if name == 'RandomMosaic':
        high, wide = as_size(transform.get('img_scale', (640, 640)))
        return 2 * high, 2 * wide
    varies = name in CHANGES_SIZE or (name == 'RandomRotate' and transform.get('auto_bound'))
    return None if varies else size


def _branches(transform: Transform) -> list[Sequence[Any]]:
    """Return the lists of transforms within one of which an image goes through any, or none."""
    name = type_name(transform)
    found: list[Sequence[Any]] = []
    for value in transform.values():
        items = list(value) if isinstance(value, (list, tuple)) else []
        lists = [[item] if isinstance(item, Mapping) else item for item in items]
        if not items or not all(_are_transforms(item) for item in lists):
            continue
        is_sequence = all(isinstance(item, Mapping) for item in items)
        found += [items] if is_sequence and name != 'RandomChoice' else lists
    return [*found, []] if found and name == 'RandomApply' else found


def _are_transforms(value: Any) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    return is_list and all(isinstance(item, Mapping) and 'type' in item for item in value)


def fixed_resize(transform: Transform) -> Size | None:
    """Return (height, width) that a `Resize` makes of every image; None for anything else."""
    scale = transform.get('scale')
    if type_name(transform) != 'Resize' or scale is None or transform.get('keep_ratio'):
        return None
    width, height = as_size(scale)
    return height, width


def _resized(transform: Transform, size: Size | None) -> Size | None:
    factor = transform.get('scale_factor')
    if transform.get('scale') is not None or size is None or factor is None:
        return fixed_resize(transform)
    wide, high = factor if isinstance(factor, (list, tuple)) else (factor, factor)
    return int(size[0] * float(high) + 0.5), int(size[1] * float(wide) + 0.5)


def _padded(transform: Transform, size: Size | None) -> Size | None:
    """Return what a `Pad` leaves: images of unknown size are taken for smaller than its own."""
    if transform.get('size') is not None:
        width, height = as_size(transform['size'])
        return largest([size or (0, 0), (height, width)])
    if transform.get('pad_to_square') and size is not None:
        size = max(size), max(size)
    return _to_multiple(size, transform.get('size_divisor') or 1)


def _to_multiple(size: Size | None, divisor: int) -> Size | None:
    if size is None:
        return None
    return divisor * math.ceil(size[0] / divisor), divisor * math.ceil(size[1] / divisor)


def as_size(value: Any) -> Size:
    """Return two lengths; one stands for both.

    Raises:
        ValueError: They are no whole numbers above 0.
    """
    pair = [value, value] if isinstance(value, int) else value
    is_pair = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
    if not is_pair or not all(type(length) is int and length > 0 for length in pair):
        raise ValueError(f'a size must be one or two whole numbers above 0, got {value!r}')
    return pair[0], pair[1]
