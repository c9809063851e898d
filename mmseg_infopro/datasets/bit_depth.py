"""Files of 16 bits where 8 are read: ids that wrap, and images that load all black."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

DEEP_MODES = ('I', 'F')
"""How Pillow's modes of more than 8 bits begin."""
MAX_ID = 255


def is_deep(path: str | Path) -> bool:
    """Whether a file has channels of more than 8 bits; only its header is read."""
    try:
        with Image.open(path) as image:
            if image.mode.startswith(DEEP_MODES):
                return True
            return image.format == 'PNG' and _png_depth(path) == 16
    except (OSError, ValueError):  # what Pillow does not know is left to the loader
        return False


def _png_depth(path: str | Path) -> int:
    with open(path, 'rb') as file:
        return file.read(25)[24]


def mask_defect(path: str | Path) -> str | None:
    """What is wrong with the ids of a mask, which mmseg reads as 8 bits; None if nothing is."""
    if not is_deep(path):
        return None
    with Image.open(path) as image:
        ids = np.unique(np.asarray(image))
    is_signed = np.issubdtype(ids.dtype, np.signedinteger)
    wrong = ids[(ids > MAX_ID) | (ids < (-1 if is_signed else 0))]  # -1 becomes 255: ignored
    broken = ids[ids % 1 != 0]
    if broken.size:
        return f'holds ids that are no whole numbers, {_first(broken)}'
    if not wrong.size:
        return None
    return f'holds ids of 16 bits, {_first(wrong)}, which would wrap to 8 bits, as 257 to 1'


def _first(values: np.ndarray) -> str:
    return ', '.join(str(value) for value in values[:5])


def image_defect(path: str | Path, loader: dict[str, Any]) -> str | None:
    """What becomes of an image of 16 bits in a loader of 8; None if it is fine.

    Args:
        path: The image.
        loader: The configuration of a `LoadImageFromFile`.
    """
    depth = loader.get('color_type', 'color')
    if 'unchanged' in depth or (loader.get('imdecode_backend') or 'cv2') != 'cv2':
        return None
    if not is_deep(path):
        return None
    content = np.fromfile(path, np.uint8)
    deep = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    shallow = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if deep is None or shallow is None or np.ptp(shallow) > 2 or np.ptp(deep) == 0:
        return None
    return (
        f'has values of 16 bits up to {deep.max()}, and loads all black in 8 bits: set '
        "color_type='unchanged' in its loader, and model.local.image_range or 'measured'"
    )


def first_defect(paths: Sequence[Path], check: Any) -> tuple[Path, str] | None:
    """The first path of some that a check finds a defect of."""
    for path in paths:
        if defect := check(path):
            return path, defect
    return None
