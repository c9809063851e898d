"""What the training data's pipelines say, in whatever nest of data sets they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from .image_size import Size, Transform, fixed_resize, largest, made_size
from .walk import type_name, walk


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
    for item in crops or [item for item in transforms if fixed_resize(item)]:
        key = 'crop_size' if crops else 'scale'
        is_wide_first = not crops or type_name(item) == 'CenterCrop'
        item[key] = size[::-1] if is_wide_first else size  # type: ignore[index]
