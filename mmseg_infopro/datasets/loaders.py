"""What loads images and masks in a pipeline, and what may change labels there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mmcv
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from .image_files import Decoder

IMAGE_LOADERS = ('LoadImageFromFile', 'LoadCheckedImage')
MASK_LOADERS = ('LoadAnnotations', 'LoadCheckedAnnotations')
BACKENDS = dict(cv2=None, pillow=None, tifffile='tifffile', turbojpeg='turbojpeg')
"""What decodes files in mmcv, and packages that it needs."""
KNOWN = ('mmcv', 'mmseg', 'mmseg_infopro')
"""Packages whose transforms change no label's id."""


def kind_name(transform: Any) -> str:
    """Return what a transform's class is called, of a config whose type may be the class."""
    kind = transform.get('type') if isinstance(transform, Mapping) else None
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]


def loader_config(leaf: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """Return the configuration of the first transform of some kinds; empty without any.

    Args:
        leaf: Of a data set with a pipeline.
        kinds: As :data:`IMAGE_LOADERS`.
    """
    found = [item for item in leaf.get('pipeline') or () if kind_name(item) in kinds]
    return dict(found[0]) if found else {}


def image_decoder(loader: Mapping[str, Any]) -> Decoder:
    """Return what makes an image of a file's content, for the config of a `LoadImageFromFile`.

    Raises:
        ValueError: There is no such decoder.
    """
    flag, backend = loader.get('color_type', 'color'), loader.get('imdecode_backend', 'cv2')
    _check_backend(backend)
    return partial(mmcv.imfrombytes, flag=flag, backend=backend)


def mask_decoder(loader: Mapping[str, Any]) -> Decoder:
    """Return what makes a mask of a file's content, for the config of a `LoadAnnotations`.

    Raises:
        ValueError: There is no such decoder.
    """
    backend = loader.get('imdecode_backend', 'pillow')
    _check_backend(backend)
    return partial(mmcv.imfrombytes, flag='unchanged', backend=backend)


def _check_backend(backend: str | None) -> None:
    """Check that mmcv has a decoder.

    Raises:
        ValueError: It is none, or its package is not installed.
    """
    if backend not in (None, *BACKENDS):
        known = ', '.join(BACKENDS)
        raise ValueError(f'imdecode_backend of a loader must be one of {known}, got {backend!r}')
    package = BACKENDS.get(backend or '')
    if package is not None and find_spec(package) is None:
        raise ValueError(
            f'imdecode_backend={backend!r} of a loader needs the package {package}, which is not '
            'installed'
        )


def leaves_out(loader: Mapping[str, Any], image: Path) -> bool:
    """Whether a `LoadImageFromFile` passes an image over that it cannot load."""
    if not loader.get('ignore_empty'):
        return False
    try:
        return TRANSFORMS.build(dict(loader))(dict(img_path=str(image))) is None
    except Exception:  # of whatever decoder: it would end the run
        return False


def image_loader(leaf: Mapping[str, Any]) -> Any:
    """Return the transform that loads images; None if it is not mmcv's or ours."""
    cfg = loader_config(leaf, IMAGE_LOADERS)
    return TRANSFORMS.build(cfg) if cfg else None


def mask_loader(leaf: Mapping[str, Any]) -> Any:
    """Return the transform that loads masks; None if it is not mmseg's."""
    for kind, item in _kinds(leaf):
        if isinstance(kind, type) and issubclass(kind, LoadAnnotations):
            return TRANSFORMS.build(dict(item))
    return None


def load(transform: Any, info: dict[str, Any], named: str, key: str, what: str) -> Any:
    """Return what a transform loads of a sample; None without a file, or if it leaves it out.

    Args:
        transform: Of :func:`image_loader` or :func:`mask_loader`.
        info: Of the sample; it is not changed.
        named: Its key that names the file.
        key: Of what is loaded.
        what: It is, for a message.

    Raises:
        ValueError: It cannot be loaded.
    """
    if transform is None or not info.get(named):
        return None
    try:
        return (transform(deepcopy(info)) or {}).get(key)
    except Exception as error:  # of whatever decoder
        raise ValueError(f'{what} cannot be loaded: {error}') from error


def own_transforms(leaf: Mapping[str, Any]) -> list[str]:
    """Return the names of transforms that nobody here knows, and that may change labels."""
    loads = (LoadAnnotations, LoadImageFromFile)
    return [
        kind_name(item)
        for kind, item in _kinds(leaf)
        if getattr(kind, '__module__', '').partition('.')[0] not in KNOWN
        and not (isinstance(kind, type) and issubclass(kind, loads))
    ]


def _kinds(leaf: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Yield the classes of a pipeline's transforms, and their configurations."""
    for item in leaf.get('pipeline') or ():
        if isinstance(item, Mapping):
            kind = item.get('type')
            yield TRANSFORMS.get(kind) if isinstance(kind, str) else kind, item
