"""Looks at the data that a config names before anything is built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .image_files import file_defect, first_few

SPLITS = ('train', 'val', 'test')
TRAIN_IDS, POLYGONS = '_labelTrainIds.png', '_polygons.json'


def check_data(cfg: Config) -> dict[str, int]:
    """Checks the data of all dataloaders: folders, images, masks, and that no file is cut off.

    Only names and the last bytes of each file are read. Data sets that are no `BaseSegDataset`, or
    are not on a local disk, are left alone.

    Args:
        cfg: A config; it is not changed.

    Returns:
        The number of images checked for each of `train`, `val`, `test`.

    Raises:
        ValueError: Something is missing or broken; the message says what and where.
    """
    counts: dict[str, int] = {}
    checked: list[tuple[Mapping[str, Any], int]] = []
    for split in SPLITS:
        dataloader = cfg.get(f'{split}_dataloader')
        for leaf in leaf_datasets(dataloader.get('dataset')) if dataloader else ():
            count = next((count for other, count in checked if other == leaf), None)
            if count is None:
                count = _check_leaf(split, leaf)
                checked.append((leaf, count))
            counts[split] = counts.get(split, 0) + count
    return counts


def leaf_datasets(dataset: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """The data set configs inside wrappers (`dataset=...`) and joins (`datasets=[...]`)."""
    if not isinstance(dataset, Mapping):
        return
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else None)
    if inner is None:
        yield dataset
    else:
        for child in inner:
            yield from leaf_datasets(child)


def _check_leaf(split: str, leaf: Mapping[str, Any]) -> int:
    kind = leaf['type']
    family = DATASETS.get(kind) if isinstance(kind, str) else kind
    if family is None:
        raise ValueError(f'the {split} data set type {kind!r} is not registered')
    local = (leaf.get('backend_args') or {}).get('backend', 'local') == 'local'
    if not (isinstance(family, type) and issubclass(family, BaseSegDataset) and local):
        print_log(f'the {split} data ({kind}) is not checked', logger='current')
        return 0
    check_folders(split, leaf)
    # mmengine cannot serialize an empty list, and its error would hide ours.
    dataset = DATASETS.build({**leaf, 'pipeline': [], 'serialize_data': False})
    files = [dataset.get_data_info(index) for index in range(len(dataset))]
    images = [Path(info['img_path']) for info in files]
    masks = [Path(info['seg_map_path']) for info in files if 'seg_map_path' in info]
    check_files(split, leaf, images, masks)
    return len(images)


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


def check_files(split: str, leaf: Mapping[str, Any], images: list[Path], masks: list[Path]) -> None:
    """There are images, each has its mask, and every file ends as it should.

    Args:
        split: Named in messages.
        leaf: The data set's config, for messages.
        images: All images.
        masks: Where their masks should be; empty for a split without masks.

    Raises:
        ValueError: Anything else.
    """
    root = Path(leaf.get('data_root') or '')
    if not images:
        prefix = (leaf.get('data_prefix') or {}).get('img_path') or ''
        raise ValueError(
            f'no {split} images were found in {root / prefix}, which holds '
            f'{_listing(root / prefix)}; check data_prefix, ann_file and img_suffix'
        )
    missing = [mask for mask in masks if not mask.is_file()]
    if missing:
        raise ValueError(_missing_masks(split, root, missing, len(masks)))
    defects = [(path, defect) for path in [*images, *masks] if (defect := file_defect(path))]
    if defects:
        (first, defect), others = defects[0], [path for path, _ in defects[1:]]
        raise ValueError(
            f'{len(defects)} of {len(images) + len(masks)} {split} files are broken: '
            f'{first} {defect}' + (f'; also {first_few(others)}' if others else '')
        )


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
    names = sorted(path.name for path in folder.iterdir())
    return first_few(names, 5) or 'nothing'
