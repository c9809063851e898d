from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_infopro.datasets import CamVidDataset, check_data

PIPELINE = [{'type': 'LoadCheckedImage'}, {'type': 'LoadCheckedAnnotations', 'num_classes': 11}]
PREFIX = {'img_path': 'train', 'seg_map_path': 'trainannot'}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    for folder in PREFIX.values():
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / 'train/a.png'), np.zeros((2, 6, 3), np.uint8))
    ids = np.arange(12, dtype=np.uint8).reshape(2, 6)
    cv2.imwrite(str(tmp_path / 'trainannot/a.png'), ids)
    return tmp_path


def config(root: Path, **settings: object) -> dict:
    settings = {'data_root': str(root), 'data_prefix': PREFIX, 'pipeline': PIPELINE} | settings
    return {'type': 'CamVidDataset', **settings}


def test_void_is_ignored_and_the_rest_kept(toy: Path) -> None:
    sample = DATASETS.build(config(toy))[0]
    assert sample['gt_seg_map'].ravel().tolist() == [*range(11), 255]


def test_a_subset_of_the_classes_keeps_void_ignored(toy: Path) -> None:
    dataset = DATASETS.build(config(toy, metainfo={'classes': ('car', 'road')}))
    expected = [255, 255, 255, 1, 255, 255, 255, 255, 0, 255, 255, 255]
    assert dataset[0]['gt_seg_map'].ravel().tolist() == expected
    assert dataset.metainfo['palette'] == [[64, 0, 128], [128, 64, 128]]


def test_each_class_has_a_colour_of_its_own() -> None:
    palette = CamVidDataset.METAINFO['palette']
    assert len({tuple(colour) for colour in palette}) == len(CamVidDataset.METAINFO['classes'])


def test_the_release(camvid: Path) -> None:
    leaf = config(camvid, img_suffix='.jpg')
    assert check_data(Config({'train_dataloader': {'dataset': leaf}})) == {'train': 367}
    dataset = DATASETS.build(leaf)
    samples = [dataset[index] for index in range(0, 367, 30)]
    ids = np.unique(np.concatenate([sample['gt_seg_map'].ravel() for sample in samples]))
    assert ids.tolist() == [*range(11), 255]
    assert samples[0]['img'].shape == (360, 480, 3)
