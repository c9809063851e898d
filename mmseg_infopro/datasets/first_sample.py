"""The first sample of each data set goes through its pipeline before anything takes long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..measure.undrawn import kept_generators
from .checks import family_of, leaf_datasets

KNOWN = ('mmcv', 'mmseg', 'mmengine', 'mmseg_infopro')
"""Packages whose transforms have no other effect."""


def check_first_samples(cfg: Config, splits: tuple[str, ...]) -> None:
    """Run the pipelines of known transforms on the first sample of each data set.

    Raises:
        ValueError: A transform fails; the message names it and the file.
    """
    for split in splits:
        loader = cfg.get(f'{split}_dataloader') or {}
        dataset = loader.get('dataset')
        for leaf in leaf_datasets(dataset):
            family = family_of(leaf)
            if isinstance(family, type) and issubclass(family, BaseSegDataset):
                _check(split, leaf, is_last=_ends_here(dataset))


def _ends_here(dataset: Any) -> bool:
    """Whether what the innermost pipeline makes is what the dataloader gets."""
    if not isinstance(dataset, Mapping):
        return False
    inner = dataset.get('dataset')
    return inner is None or ('pipeline' not in dataset and _ends_here(inner))


def _check(split: str, leaf: Mapping[str, Any], is_last: bool) -> None:
    try:
        dataset = DATASETS.build({**leaf, 'serialize_data': False})
    except TypeError:  # a strict constructor
        dataset = DATASETS.build(dict(leaf))
    transforms = dataset.pipeline.transforms
    if not all(type(item).__module__.partition('.')[0] in KNOWN for item in transforms):
        return
    sample = dataset.get_data_info(0)
    file = sample.get('img_path')
    with kept_generators():
        for index, transform in enumerate(transforms):
            name = type(transform).__name__
            try:
                sample = transform(sample)
            except ValueError:
                raise
            except Exception as error:
                raise ValueError(
                    f'the {split} pipeline[{index}] ({name}) fails on {file}: '
                    f'{type(error).__name__}: {error}'
                ) from error
            if sample is None:  # the run would take another one
                return
    if is_last and not (isinstance(sample, Mapping) and 'inputs' in sample):
        raise ValueError(
            f'the {split} pipeline makes no inputs for the model: it must end in PackSegInputs'
        )
