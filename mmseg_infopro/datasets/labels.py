"""Whether the labels of the data are those that a model's heads know, from a sample of masks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from .checks import build_unloaded, family_of, leaf_datasets
from .files import spread

NUM_MASKS = 24
"""So many masks of each data set are read, at even distances."""
SPLITS = ('train', 'val')


def check_labels(cfg: Config) -> None:
    """Check classes and label ids of training and validation data against the heads.

    Raises:
        ValueError: A data set lists another number of classes than a head has, or a mask holds an
            id that no head knows; the message names the file and the ids.
    """
    heads = dict(_heads(cfg.model))
    if not heads:
        return
    checked: list[Mapping[str, Any]] = []
    for split in SPLITS:
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


def _is_binary(head: Mapping[str, Any]) -> bool:
    return head.get('out_channels') == 1 or head['num_classes'] == 1


def _check_leaf(split: str, leaf: Mapping[str, Any], heads: dict[str, Mapping[str, Any]]) -> None:
    family, transform = family_of(leaf), _mask_loader(leaf)
    if not (isinstance(family, type) and issubclass(family, BaseSegDataset)) or transform is None:
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
    found: dict[int, str] = {}
    reduces = bool(getattr(dataset, 'reduce_zero_label', False))
    for index in spread(range(len(dataset)), NUM_MASKS):
        info = dataset.get_data_info(index)
        mask, path = _read(transform, info), info.get('seg_map_path')
        for value in np.unique(mask).tolist() if mask is not None else ():
            found.setdefault(int(value), str(path))
    for place, head in heads.items():
        _check_ids(split, place, head, found, reduces)


def _mask_loader(leaf: Mapping[str, Any]) -> Any:
    """The transform of a pipeline that loads masks; None if it is not mmseg's."""
    for item in leaf.get('pipeline') or ():
        kind = item.get('type') if isinstance(item, Mapping) else None
        found = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
        if isinstance(found, type) and issubclass(found, LoadAnnotations):
            return TRANSFORMS.build(dict(item))
    return None


def _read(transform: Any, info: dict[str, Any]) -> Any:
    if not info.get('seg_map_path'):
        return None
    return transform(dict(info)).get('gt_seg_map')


def _check_ids(
    split: str, place: str, head: Mapping[str, Any], found: dict[int, str], reduces: bool
) -> None:
    ignored, num_ids = head.get('ignore_index', 255), head['num_classes']
    if _is_binary(head):
        num_ids = 2
    unknown = sorted(value for value in found if value >= num_ids and value != ignored)
    if unknown:
        shown = ', '.join(map(str, unknown[:5])) + (', ...' if len(unknown) > 5 else '')
        raise ValueError(
            f'the {split} mask {found[unknown[0]]} holds the id {unknown[0]} (all masks looked at: '
            f'{shown}), and {place} knows 0 to {num_ids - 1} and {ignored} (ignored): set '
            f'num_classes, or label_map or reduce_zero_label={not reduces} of the data set'
        )
    labelled = {value for value in found if value != ignored}
    if len(labelled) == 1 and found.keys() - labelled:
        _warn(
            f'all labelled pixels of the {split} masks looked at are of class '
            f'{labelled.pop()}, and {ignored} is ignored: if {ignored} is the foreground, set '
            'label_map={255: 1} of the data set'
        )
    if reduces and labelled == set(range(num_ids - 1)) and num_ids > 2:
        _warn(
            f'reduce_zero_label=True makes 0 of the {split} masks no class, and the masks looked '
            f'at then hold every class but the last, {num_ids - 1}: are they reduced already?'
        )


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
