"""Looks at the folders and files of a data set."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from infopro.naming import call_of

from .bit_depth import first_defect, image_defect, mask_defect
from .image_files import Decoder, file_defect, first_few
from .loaders import (
    IMAGE_LOADERS,
    MASK_LOADERS,
    image_decoder,
    leaves_out,
    loader_config,
    mask_decoder,
)

TRAIN_IDS, POLYGONS = '_labelTrainIds.png', '_polygons.json'
NUM_WHOLE = 200
"""So many files of a data set are read wholly, at even distances; of others, the ends."""


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


def check_entries(split: str, dataset: Any) -> None:
    """Nothing in the image folder that is called like an image is left out without a word.

    Raises:
        ValueError: A folder or a dead link is called so; mmengine lists files only.
    """
    prefix, suffix = dataset.data_prefix.get('img_path'), dataset.img_suffix
    if not prefix or not suffix or dataset.ann_file:
        return
    folder = Path(prefix)
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
    loader = loader_config(leaf, IMAGE_LOADERS)
    defects = _defects(images, image_decoder(loader))
    left_out = [found for found in defects if leaves_out(loader, found[0])]
    if left_out:
        shown = f'{left_out[0][0]} {left_out[0][1]}'
        notice(f'{len(left_out)} of {len(images)} {split} images are left out by the run: {shown}')
        defects = [found for found in defects if found not in left_out]
    defects += _defects(masks, mask_decoder(loader_config(leaf, MASK_LOADERS)))
    if defects:
        (first, defect), others = defects[0], [path for path, _ in defects[1:]]
        raise ValueError(
            f'{len(defects)} of {len(images) + len(masks)} {split} files are broken: '
            f'{first} {defect}' + (f'; also {first_few(others)}' if others else '')
        )
    found = first_defect(masks, mask_defect)
    if loader:
        check = partial(image_defect, loader=loader)
        found = found or first_defect(spread(images, NUM_WHOLE // 10), check)
    if found:
        raise ValueError(f'the {split} file {found[0]} {found[1]}')


def _defects(paths: Sequence[Path], decode: Decoder) -> list[tuple[Path, str]]:
    """The files with a defect, and which; some are decoded."""
    whole = set(spread(paths, NUM_WHOLE))
    files = [(path, file_defect(path, decode if path in whole else None)) for path in paths]
    return [(path, defect) for path, defect in files if defect]


def notice(text: str) -> None:
    """Say what is left to the run."""
    print_log(text, logger='current')


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
            f'run: {shlex.join([*call_of("prepare"), str(root)])}'
        )
    return message


def _listing(folder: Path) -> str:
    if not folder.is_dir():
        return 'nothing'
    names = sorted(path.name for path in folder.iterdir())
    return first_few(names, 5) or 'nothing'
