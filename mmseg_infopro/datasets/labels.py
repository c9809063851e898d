"""Whether the labels of the data are those that a model's heads know, from a sample of masks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset

from .checks import build_unloaded, family_of, leaf_datasets
from .files import spread
from .loaders import image_loader, kind_name, load, mask_loader, own_transforms

NUM_MASKS = 24
"""So many masks of each data set are read, at even distances."""
SPLITS = ('train', 'val')


def check_labels(cfg: Config, splits: tuple[str, ...] = SPLITS) -> None:
    """Check classes and label ids of data against the heads.

    What a pipeline with transforms of others might put right is warned of only.

    Raises:
        ValueError: A data set lists another number of classes than a head has, or a mask has
            several channels, another size than its image, or an id that no head knows; the message
            names the file and the ids.
    """
    heads = dict(_heads(cfg.model))
    if not heads:
        return
    checked: list[Mapping[str, Any]] = []
    for split in splits:
        loader = cfg.get(f'{split}_dataloader') or {}
        for leaf in leaf_datasets(loader.get('dataset')):
            if leaf not in checked:
                checked.append(leaf)
                _check_leaf(split, leaf, heads)


def _heads(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in ('decode_head', 'auxiliary_head'):
        heads: Any = model.get(name)
        several = isinstance(heads, (list, tuple))
        for index, head in enumerate(heads if several else [heads]):
            if isinstance(head, Mapping) and isinstance(head.get('num_classes'), int):
                yield f'model.{name}[{index}]' if several else f'model.{name}', head
    local_heads = (model.get('local') or {}).get('heads')
    for index, head in enumerate(local_heads if isinstance(local_heads, (list, tuple)) else ()):
        if isinstance(head, Mapping) and isinstance(head.get('num_classes'), int):
            yield f'model.local.heads[{index}]', head


def _is_binary(head: Mapping[str, Any]) -> bool:
    return head.get('out_channels') == 1 or head['num_classes'] == 1


def _check_leaf(split: str, leaf: Mapping[str, Any], heads: dict[str, Mapping[str, Any]]) -> None:
    family = family_of(leaf)
    if not (isinstance(family, type) and issubclass(family, BaseSegDataset)):
        return
    if mask_loader(leaf) is None:
        return
    dataset = build_unloaded(family, leaf)
    classes = dataset.metainfo.get('classes')
    for place, head in heads.items():
        if classes and len(classes) != head['num_classes'] and not _is_binary(head):
            raise ValueError(
                f'{place}.num_classes is {head["num_classes"]}, and the {split} data '
                f'({family.__name__}) lists {len(classes)} classes in its metainfo: set '
                f"num_classes={len(classes)}, or the data set's metainfo.classes"
            )
    own = own_transforms(leaf)
    try:
        found = _sampled_ids(split, leaf, dataset)
        for place, head in heads.items():
            _check_ids(place, head, found, bool(getattr(dataset, 'reduce_zero_label', False)))
    except LabelError as error:
        if not own:
            raise
        _warn(f'{error}, unless {own[0]} of the pipeline sees to it')


class LabelError(ValueError):
    """Labels, as they are loaded, cannot be trained on."""


def _sampled_ids(split: str, leaf: Mapping[str, Any], dataset: Any) -> dict[int, str]:
    """Return the ids in some masks, each with a mask that has it.

    Raises:
        LabelError: A mask has several channels, or another size than its image, which no later
            transform resizes.
    """
    load_mask, load_image = mask_loader(leaf), image_loader(leaf)
    found: dict[int, str] = {}
    misfits: list[str] = []
    for index in spread(range(len(dataset)), NUM_MASKS):
        info = dataset.get_data_info(index)
        path = f'the {split} mask {info.get("seg_map_path")}'
        mask = load(load_mask, info, 'seg_map_path', 'gt_seg_map', path)
        if mask is None:
            continue
        if mask.ndim != 2:
            raise LabelError(f'{path} has {mask.shape[-1]} channels; one is needed, of ids')
        image = load(load_image, info, 'img_path', 'img', f'the image of {path}')
        if image is not None and image.shape[:2] != mask.shape:
            misfits.append(_two_sizes(path, mask, image))
        for value in np.unique(mask).tolist():
            found.setdefault(int(value), path)
    if misfits and not any('Resize' in kind_name(item) for item in leaf['pipeline']):
        raise LabelError(misfits[0])
    if misfits:
        _warn(f'{misfits[0]}: both are resized, but is it the same place?')
    return found


def _two_sizes(path: str, mask: np.ndarray, image: np.ndarray) -> str:
    """Return a sentence on a mask ``(H, W)`` and its image ``(H', W', ...)``."""
    message = (
        f'{path} is {mask.shape[0]}x{mask.shape[1]} pixels (height x width), but its image loads '
        f'as {image.shape[0]}x{image.shape[1]}'
    )
    if image.shape[:2] == mask.shape[::-1]:
        message += (
            "; if a camera noted that it is turned, color_type='color_ignore_orientation' of its "
            'loader leaves it as it is'
        )
    return message


def _check_ids(
    place: str, head: Mapping[str, Any], found: Mapping[int, str], reduces: bool
) -> None:
    ignored, num_ids = head.get('ignore_index', 255), head['num_classes']
    if _is_binary(head):
        num_ids = 2
    unknown = sorted(value for value in found if value >= num_ids and value != ignored)
    if unknown:
        shown = ', '.join(map(str, unknown[:5])) + (', ...' if len(unknown) > 5 else '')
        raise LabelError(
            f'{found[unknown[0]]} holds the id {unknown[0]} (all masks looked at: {shown}), and '
            f'{place} knows 0 to {num_ids - 1} and {ignored} (ignored): set '
            f'num_classes, or label_map or reduce_zero_label={not reduces} of the data set'
        )
    labelled = {value for value in found if value != ignored}
    if len(labelled) == 1 and found.keys() - labelled:
        _warn(
            f'all labelled pixels of masks as {found[ignored].removeprefix("the ")} are of class '
            f'{labelled.pop()}, and {ignored} is ignored: if {ignored} is the foreground, set '
            'label_map={255: 1} of the data set'
        )
    if reduces and labelled == set(range(num_ids - 1)) and num_ids > 2:
        _warn(
            'reduce_zero_label=True makes 0 of masks no class, and those looked at, as '
            f'{found[0].removeprefix("the ")}, then hold every class but the last, {num_ids - 1}: '
            'are they reduced already?'
        )


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
