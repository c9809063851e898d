"""Looks at the data that a config names before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .bit_depth import first_defect, image_defect, mask_defect
from .image_files import file_defect, first_few

LISTING = BaseSegDataset.load_data_list
SPLITS = ('train', 'val', 'test')
TRAIN_IDS, POLYGONS = '_labelTrainIds.png', '_polygons.json'
NUM_WHOLE = 200
"""So many files of a data set are read as a whole, at even distances; of others, the ends."""
INNER = ('dataset', 'datasets')
OF_DATA = {'data_root', 'data_prefix', 'ann_file', 'pipeline', *INNER}
"""Keys by which a data set within another one is known."""
IMAGE_LOADERS = ('LoadImageFromFile', 'LoadCheckedImage')
MASK_LOADERS = ('LoadAnnotations', 'LoadCheckedAnnotations')


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
        _notice(f'the {split} data ({kind}) is not checked')
        return 0
    lists_files_itself = getattr(family, 'load_data_list', None) is not LISTING
    if not lists_files_itself and 'data_root' in leaf:
        check_folders(split, leaf)
        check_entries(split, leaf)
    try:
        dataset = build_unloaded(family, leaf)
        files = [dataset.get_data_info(index) for index in range(len(dataset))]
    except Exception as error:
        raise ValueError(f'the {split} data set {kind} cannot be built: {error}') from error
    images, masks = _paths(files, 'img_path'), _paths(files, 'seg_map_path')
    if files and not images:
        _notice(f'the {split} data ({kind}) names no files in img_path: its images are not checked')
    names = [_name(transform) for transform in leaf.get('pipeline') or ()]
    own = [name for name in names if 'Load' in name and name not in (*IMAGE_LOADERS, *MASK_LOADERS)]
    if own and not any(name in IMAGE_LOADERS for name in names):
        _notice(f'the {split} images ({kind}) are not checked: {own[0]} loads them')
        images = []
    if own and not any(name in MASK_LOADERS for name in names):
        masks = []
    if not files or images or masks:
        check_files(split, leaf, images, masks, has_files=bool(files))
    return len(files)


def _notice(text: str) -> None:
    print_log(text, logger='current')


def _name(transform: Any) -> str:
    kind = transform.get('type') if isinstance(transform, Mapping) else None
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]


def _paths(files: Sequence[Mapping[str, Any]], key: str) -> list[Path]:
    """The files on a local disk that a data set names; one of several bands may be a list."""
    found: list[Path] = []
    for info in files:
        value = info.get(key)
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, (str, Path)) and '://' not in str(item):
                found.append(Path(item))
    return found


def check_folders(split: str, leaf: Mapping[str, Any]) -> None:
    """The data root, the folders of `data_prefix` and the `ann_file` exist.

    Raises:
        ValueError: One of them does not.
    """
    root = Path(leaf.get('data_root') or '')
    if not root.is_dir():
        raise ValueError(
            f'the {split} data root {root} does not exist (looked from {Path.cwd()}); '
            f'set {split}_dataloader.dataset(.dataset).data_root to the folder that holds the data'
        )
    if leaf.get('ann_file') and not (root / leaf['ann_file']).is_file():
        raise ValueError(  # mmseg would use all images of the folder instead
            f'the {split} ann_file {root / leaf["ann_file"]} does not exist; it lists the images'
        )
    for name, prefix in (leaf.get('data_prefix') or {}).items():
        if prefix is not None and not (root / prefix).is_dir():
            raise ValueError(
                f'the {split} folder {root / prefix} ({name}) does not exist; '
                f'{root} holds {_listing(root)}'
            )


def check_entries(split: str, leaf: Mapping[str, Any]) -> None:
    """Nothing in the image folder that is called like an image is left out without a word.

    Raises:
        ValueError: A folder or a dead link is called so; mmengine lists files only.
    """
    prefix = (leaf.get('data_prefix') or {}).get('img_path')
    suffix = leaf.get('img_suffix')
    if prefix is None or not suffix or leaf.get('ann_file'):
        return
    folder = Path(leaf.get('data_root') or '') / prefix
    for path in sorted(folder.rglob(f'*{suffix}')):
        if not path.is_file() and (defect := file_defect(path)):
            raise ValueError(
                f'the {split} image {path} {defect}, and would be left out: remove it, or put a '
                'file in its place'
            )


def check_files(
    split: str,
    leaf: Mapping[str, Any],
    images: list[Path],
    masks: list[Path],
    has_files: bool = False,
) -> None:
    """There are images, each has its mask, and every file is whole.

    Args:
        split: Named in messages.
        leaf: The data set's config, for messages.
        images: All images.
        masks: Where their masks should be; empty for a split without masks.
        has_files: Whether there are others than these.

    Raises:
        ValueError: Anything else.
    """
    root = Path(leaf.get('data_root') or '')
    if not images and not has_files:
        prefix = (leaf.get('data_prefix') or {}).get('img_path') or ''
        raise ValueError(
            f'no {split} images were found in {root / prefix}, which holds '
            f'{_listing(root / prefix)}; check data_prefix, ann_file and img_suffix'
        )
    missing = [mask for mask in masks if not mask.exists()]
    if missing:
        raise ValueError(_missing_masks(split, root, missing, len(masks)))
    whole = {*spread(images, NUM_WHOLE), *spread(masks, NUM_WHOLE)}
    files = [(path, file_defect(path, path in whole)) for path in [*images, *masks]]
    defects = [(path, defect) for path, defect in files if defect]
    if defects:
        (first, defect), others = defects[0], [path for path, _ in defects[1:]]
        raise ValueError(
            f'{len(defects)} of {len(images) + len(masks)} {split} files are broken: '
            f'{first} {defect}' + (f'; also {first_few(others)}' if others else '')
        )
    found = first_defect(masks, mask_defect)
    loaders = [item for item in leaf.get('pipeline') or () if _name(item) in IMAGE_LOADERS]
    for loader in loaders[:1]:
        check = partial(image_defect, loader=dict(loader))
        found = found or first_defect(spread(images, NUM_WHOLE // 10), check)
    if found:
        raise ValueError(f'the {split} file {found[0]} {found[1]}')


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of some items, at even distances."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def _missing_masks(split: str, root: Path, missing: list[Path], total: int) -> str:
    polygons = [mask.with_name(mask.name.replace(TRAIN_IDS, POLYGONS)) for mask in missing]
    message = f'{len(missing)} of {total} {split} images have no mask: {first_few(missing)} missing'
    if all(p.suffix == '.json' and p.is_file() for p in polygons):
        message = (
            f'{root} is half-prepared: its polygons are there, but {message}; '
            f'run: python tools/prepare_cityscapes.py {root}'
        )
    return message


def _listing(folder: Path) -> str:
    if not folder.is_dir():
        return 'nothing'
    names = sorted(path.name for path in folder.iterdir())
    return first_few(names, 5) or 'nothing'
