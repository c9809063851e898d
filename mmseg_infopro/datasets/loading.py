"""Loading that stops at broken data with one clear sentence instead of training on it."""

from io import BytesIO
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from .bit_depth import DEEP_MODES
from .image_files import PNG, content_defect

IGNORED = 255
PNG_BIT_DEPTH = 24
"""Where a PNG says how many bits a channel has; mmseg would wrap 16 bits to 8 in silence."""
DECODE_ERRORS = (OSError, SyntaxError, ValueError, AttributeError)
"""What Pillow and mmcv raise at broken files; AttributeError: cv2 gave None."""


def read_whole(kind: str, path: str, backend_args: dict[str, Any] | None) -> bytes:
    """The bytes of an image file.

    Raises:
        ValueError: It is missing, empty or truncated.
    """
    try:
        content = bytes(fileio.get(path, backend_args=backend_args))
    except OSError as error:
        reason = 'does not exist' if isinstance(error, FileNotFoundError) else str(error)
        raise ValueError(f'the {kind} {path} cannot be read: {reason}') from error
    defect = content_defect(content, Path(path).suffix)
    if defect:
        raise ValueError(f'the {kind} {path} {defect}; a complete image file is needed')
    return content


def _refuse_wrapped_ids(content: bytes, path: str) -> None:
    """Raises a ValueError for the deep modes of other formats than PNG, as TIFF."""
    with Image.open(BytesIO(content)) as image:
        if image.mode.startswith(DEEP_MODES):
            raise MaskDepthError(f'the mask {path} holds 16-bit ids; 8 bits are needed')


class MaskDepthError(ValueError):
    """A mask has more bits than mmseg reads."""


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """Loads an image, and refuses one that is missing, unreadable or truncated.

    cv2 decodes a truncated JPEG without complaint: the missing part is grey.

    Args:
        to_float32: Whether to turn the image into float32.
        color_type: Flag of `mmcv.imfrombytes`.
        imdecode_backend: Backend of `mmcv.imfrombytes`.
        backend_args: The file backend, as for `LoadImageFromFile`.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = 'color',
        imdecode_backend: str = 'cv2',
        *,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(to_float32, color_type, imdecode_backend, backend_args=backend_args)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Adds `img` (H, W, C), `img_shape` and `ori_shape`."""
        path = results['img_path']
        content = read_whole('image', path, self.backend_args)
        try:
            image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        except DECODE_ERRORS as error:
            raise ValueError(f'the image {path} cannot be decoded: {error}') from error
        if image is None:
            raise ValueError(f'the image {path} cannot be decoded; a PNG or JPEG file is needed')
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """Loads a mask, and refuses one that is broken, of another size, or with unknown ids.

    Ids are checked after `label_map` and `reduce_zero_label`: 0 to num_classes-1, and 255.

    Args:
        num_classes: Number of classes.
        kwargs: The arguments of mmseg's `LoadAnnotations`.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        if not 1 <= num_classes <= IGNORED:
            raise ValueError(f'num_classes must be between 1 and {IGNORED}, got {num_classes}')
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        path = results['seg_map_path']
        content = read_whole('mask', path, self.backend_args)
        if content.startswith(PNG) and content[PNG_BIT_DEPTH : PNG_BIT_DEPTH + 1] == b'\x10':
            raise ValueError(f'the mask {path} holds 16-bit ids; 8 bits are needed')
        try:
            _refuse_wrapped_ids(content, path)
            super()._load_seg_map(results)
        except MaskDepthError:
            raise
        except DECODE_ERRORS as error:
            raise ValueError(f'the mask {path} cannot be decoded: {error}') from error
        self._check(results['gt_seg_map'], path, results.get('ori_shape'))

    def _check(self, mask: np.ndarray, path: str, image_size: tuple[int, int] | None) -> None:
        if mask.ndim != 2:
            raise ValueError(f'the mask {path} has shape {mask.shape}; one channel is needed')
        if image_size is not None and mask.shape != tuple(image_size):
            raise ValueError(
                f'the mask {path} is {mask.shape[0]}x{mask.shape[1]} pixels (height x width), but '
                f'its image is {image_size[0]}x{image_size[1]}; both must have the same size'
            )
        counts = np.bincount(mask.ravel(), minlength=IGNORED + 1)
        unknown = np.flatnonzero(counts[self.num_classes : IGNORED]) + self.num_classes
        if unknown.size:
            ids = ', '.join(f'{i} ({counts[i]} pixels)' for i in unknown[:5])
            raise ValueError(
                f'the mask {path} holds the id {ids}; valid are 0 to {self.num_classes - 1} and '
                f'{IGNORED} (ignored)'
            )
