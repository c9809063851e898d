"""What the training data's pipelines say, in whatever nest of data sets they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from .walk import type_name, walk

Transform = Mapping[str, Any]
Size = tuple[int, int]

CHANGES_SIZE = ('RandomResize', 'RandomChoiceResize', 'ResizeToMultiple', 'ResizeShortestEdge')
"""Transforms that leave images of several sizes, if no crop follows."""


def is_pipeline(key: str, value: Any) -> bool:
    """Whether a key of a data set holds its transforms."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return is_list and 'pipeline' in key and all(isinstance(item, Mapping) for item in value)


def inner_datasets(dataset: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Yield the data sets directly within one, and where they are; ``dataset=``, ``datasets=[]``.

    Others count by what they look like: mappings with a type and data of their own.
    """
    for key, value in dataset.items():
        several = isinstance(value, (list, tuple))
        for index, item in enumerate(value if several else [value]):
            if not isinstance(item, Mapping) or is_pipeline(key, value):
                continue
            if key in ('dataset', 'datasets') or _looks_like_a_dataset(item):
                yield f'{path}.{key}[{index}]' if several else f'{path}.{key}', item


def _looks_like_a_dataset(item: Mapping[str, Any]) -> bool:
    own = ('dataset', 'datasets', 'data_root', 'data_prefix', 'ann_file')
    return 'type' in item and any(k in own or is_pipeline(k, v) for k, v in item.items())


def all_datasets(dataset: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a data set and all within it, and where they are."""
    if isinstance(dataset, Mapping):
        yield path, dataset
        for where, item in inner_datasets(dataset, path):
            yield from all_datasets(item, where)


def pipelines(dataset: Any) -> list[list[Transform]]:
    """Return what images go through: of each innermost data set, its transforms and outer ones'."""
    if not isinstance(dataset, Mapping):
        return []
    own = [list(value) for key, value in dataset.items() if is_pipeline(key, value)]
    inner = [found for _, item in inner_datasets(dataset, '') for found in pipelines(item)]
    if not inner or not own:
        return inner or own
    return [[*before, *after] for before in inner for after in own]


def training_dataset(cfg: Config) -> Any:
    """Return the config of the training data; None without any."""
    return (cfg.get('train_dataloader') or {}).get('dataset')


def training_transforms(cfg: Config) -> list[Transform]:
    """Return the transforms of the training data, those within others too, wherever they stand."""
    lists = [
        value
        for _, dataset in all_datasets(training_dataset(cfg), '')
        for key, value in dataset.items()
        if is_pipeline(key, value)
    ]
    return [item for found in lists for _, item in walk(found) if 'type' in item]


def training_size(cfg: Config) -> Size | None:
    """Return (height, width) of the largest images that pipelines make; None if none is fixed."""
    sizes = [made_size(found) for found in pipelines(training_dataset(cfg))]
    return largest([size for size in sizes if size is not None])


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
        name = type_name(transform)
        nested = [made_size(branch, size) for branch in _branches(transform)]
        if nested:
            known = [found for found in nested if found is not None]
            size = largest(known) if len(known) == len(nested) else None
        elif transform.get('crop_size') is not None:
            crop = as_size(transform['crop_size'])
            size = crop[::-1] if name == 'CenterCrop' else crop
        elif name == 'Resize':
            size = _resized(transform)
        elif name == 'Pad' and transform.get('size') is not None:
            width, height = as_size(transform['size'])
            size = largest([size or (0, 0), (height, width)])
        elif name == 'RandomMosaic':
            high, wide = as_size(transform.get('img_scale', (640, 640)))
            size = (2 * high, 2 * wide)
        elif name in CHANGES_SIZE:
            size = None
    return size


def _branches(transform: Transform) -> list[Sequence[Any]]:
    """Return the lists of transforms within one."""
    found: list[Sequence[Any]] = []
    for value in transform.values():
        items = list(value) if isinstance(value, (list, tuple)) else []
        if items and all(isinstance(item, Mapping) and 'type' in item for item in items):
            found.append(items)
        elif items and all(isinstance(item, (list, tuple)) for item in items):
            lists = [item for item in items if item and isinstance(item[0], Mapping)]
            found += [item for item in lists if 'type' in item[0]]
    return found


def _resized(transform: Transform) -> Size | None:
    scale = transform.get('scale')
    if scale is None or transform.get('keep_ratio'):
        return None
    width, height = as_size(scale)
    return height, width


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


KEEPS_BYTES = (
    *('LoadImageFromFile', 'LoadCheckedImage', 'LoadAnnotations', 'LoadCheckedAnnotations'),
    *('ConcatCDInput', 'PackSegInputs', 'GenerateEdge'),
    *('Resize', 'RandomResize', 'RandomChoiceResize', 'ResizeToMultiple', 'ResizeShortestEdge'),
    *('RandomCrop', 'CenterCrop', 'RandomFlip', 'RandomRotate', 'RandomRotFlip', 'RandomMosaic'),
    *('Pad', 'RandomCutOut', 'SegRescale', 'PhotoMetricDistortion', 'CLAHE', 'AdjustGamma'),
    *('RGB2Gray', 'RandomGrayscale', 'RandomChoice', 'RandomApply', 'TransformBroadcaster'),
)
"""Transforms that make 8-bit images of 8-bit images."""


def makes_bytes(cfg: Config) -> bool:
    """Whether it is known that the training images are 8-bit ones before the data preprocessor."""
    transforms = training_transforms(cfg)
    images = ('LoadImageFromFile', 'LoadCheckedImage')
    loaders = [item for item in transforms if type_name(item) in images]
    depths = [item.get('color_type', 'color') for item in loaders]
    decoders = [item.get('imdecode_backend') or 'cv2' for item in loaders]
    return (
        bool(loaders)
        and all(type_name(item) in KEEPS_BYTES for item in transforms)
        and not any('unchanged' in depth or 'anydepth' in depth for depth in depths)
        and all(decoder in ('cv2', 'pillow', 'turbojpeg') for decoder in decoders)
    )


def set_size(cfg: Config, size: Size) -> None:
    """Let the training pipelines make images of another size, in place, where it is fixed."""
    transforms = training_transforms(cfg)
    crops = [item for item in transforms if item.get('crop_size') is not None]
    for item in crops or [item for item in transforms if _is_fixed_resize(item)]:
        key = 'crop_size' if crops else 'scale'
        is_wide_first = not crops or type_name(item) == 'CenterCrop'
        item[key] = size[::-1] if is_wide_first else size  # type: ignore[index]


def _is_fixed_resize(transform: Transform) -> bool:
    return type_name(transform) == 'Resize' and _resized(transform) is not None
