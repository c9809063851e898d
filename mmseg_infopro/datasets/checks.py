"""Looks at the data that a config names before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .files import check_entries, check_files, check_folders, notice
from .loaders import IMAGE_LOADERS, MASK_LOADERS, kind_name

LISTING = BaseSegDataset.load_data_list
SPLITS = ('train', 'val', 'test')
INNER = ('dataset', 'datasets')
OF_DATA = {'data_root', 'data_prefix', 'ann_file', 'pipeline', *INNER}
"""Keys by which a data set within another one is known."""


def check_data(cfg: Config, splits: Sequence[str] = SPLITS) -> dict[str, int]:
    """Checks the data of dataloaders: folders, images, masks, and that no file is broken.

    Names and the last bytes of each file are read, and all of some. Data sets that are no
    `BaseSegDataset`, have files of their own, or are not on a local disk, are left alone, with a
    notice.

    Args:
        cfg: A config; it is not changed.
        splits: Which.

    Returns:
        The number of images checked for each of `train`, `val`, `test`.

    Raises:
        ValueError: Something is missing or broken; the message says what and where.
    """
    counts: dict[str, int] = {}
    checked: list[tuple[Mapping[str, Any], int]] = []
    for split in splits:
        dataloader = cfg.get(f'{split}_dataloader')
        for leaf in leaf_datasets(dataloader.get('dataset')) if dataloader else ():
            count = next((count for other, count in checked if other == leaf), None)
            if count is None:
                count = _check_leaf(split, leaf)
                checked.append((leaf, count))
            counts[split] = counts.get(split, 0) + count
    return counts


def leaf_datasets(dataset: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The data set configs inside wrappers (`dataset=...`), joins (`datasets=[...]`) and others."""
    if not isinstance(dataset, Mapping):
        return
    children: list[Mapping[str, Any]] = []
    for key, value in dataset.items():
        items = value if isinstance(value, (list, tuple)) else [value]
        mappings = [item for item in items if isinstance(item, Mapping)]
        is_inner = key in INNER
        children += [x for x in mappings if is_inner or ('type' in x and OF_DATA & x.keys())]
    if not children:
        yield dataset
    for child in children:
        yield from leaf_datasets(child)


def family_of(leaf: Mapping[str, Any]) -> Any:
    """The class of a data set's config; None if there is none."""
    kind = leaf.get('type')
    return DATASETS.get(kind) if isinstance(kind, str) else kind


def build_unloaded(family: type, leaf: Mapping[str, Any]) -> Any:
    """A data set that knows its files and loads nothing.

    A class whose constructor takes only its own arguments is built as it is.
    """
    # mmengine cannot serialize an empty list, and its error would hide ours.
    changes: list[dict[str, Any]] = [dict(pipeline=[], serialize_data=False), dict(pipeline=[])]
    for change in changes:
        try:
            return DATASETS.build({**leaf, **change})
        except TypeError:
            continue
    return DATASETS.build(dict(leaf))


def _check_leaf(split: str, leaf: Mapping[str, Any]) -> int:
    family: Any = family_of(leaf)
    kind = family.__name__ if isinstance(family, type) else leaf.get('type')
    if family is None:
        raise ValueError(f'the {split} data set type {kind!r} is not registered')
    local = (leaf.get('backend_args') or {}).get('backend', 'local') == 'local'
    if not (isinstance(family, type) and issubclass(family, BaseSegDataset) and local):
        notice(f'the {split} data ({kind}) is not checked')
        return 0
    lists_files_itself = getattr(family, 'load_data_list', None) is not LISTING
    if not isinstance(leaf.get('data_root') or '', (str, Path)):
        raise ValueError(f'the {split} data_root must be a folder, got {leaf["data_root"]!r}')
    if not lists_files_itself and 'data_root' in leaf:
        check_folders(split, leaf)
    try:
        dataset = build_unloaded(family, leaf)
        files = [dataset.get_data_info(index) for index in range(len(dataset))]
    except Exception as error:
        raise ValueError(f'the {split} data set {kind} cannot be built: {error}') from error
    if not lists_files_itself:
        check_entries(split, dataset)
    images, masks = _paths(files, 'img_path'), _paths(files, 'seg_map_path')
    if files and not images:
        notice(f'the {split} data ({kind}) names no files in img_path: its images are not checked')
    names = [kind_name(transform) for transform in leaf.get('pipeline') or ()]
    own = [name for name in names if 'Load' in name and name not in (*IMAGE_LOADERS, *MASK_LOADERS)]
    if own and not any(name in IMAGE_LOADERS for name in names):
        notice(f'the {split} images ({kind}) are not checked: {own[0]} loads them')
        images = []
    if own and not any(name in MASK_LOADERS for name in names):
        masks = []
    if not files or images or masks:
        check_files(split, leaf, images, masks, has_files=bool(files))
    return len(files)


def _paths(files: Sequence[Mapping[str, Any]], key: str) -> list[Path]:
    """The files on a local disk that a data set names; one of several bands may be a list."""
    found: list[Path] = []
    for info in files:
        value = info.get(key)
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, (str, Path)) and '://' not in str(item):
                found.append(Path(item))
    return found
