import copy
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmseg_infopro.datasets import check_data


def leaf(root: Path, split: str = 'train', **settings: Any) -> dict[str, Any]:
    prefix = {'img_path': f'leftImg8bit/{split}', 'seg_map_path': f'gtFine/{split}'}
    return {
        'type': 'CityscapesDataset',
        'data_root': str(root),
        'data_prefix': prefix,
        'pipeline': [{'type': 'LoadImageFromFile'}],
        **settings,
    }


def config(dataset: dict[str, Any], split: str = 'train') -> Config:
    return Config({f'{split}_dataloader': {'batch_size': 1, 'dataset': dataset}})


def first(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


def test_counts_the_images_of_every_split(prepared: Path) -> None:
    cfg = Config(
        {
            'train_dataloader': {'dataset': leaf(prepared)},
            'val_dataloader': {'dataset': leaf(prepared, 'val')},
            'test_dataloader': {'dataset': leaf(prepared, 'val')},
        }
    )
    before = copy.deepcopy(cfg.to_dict())
    assert check_data(cfg) == {'train': 8, 'val': 3, 'test': 3}
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    'wrap',
    [
        lambda inner: {'type': 'SeededDataset', 'dataset': inner},
        lambda inner: {'type': 'RepeatDataset', 'times': 2, 'dataset': inner},
        lambda inner: {'type': 'ConcatDataset', 'datasets': [inner]},
    ],
    ids=['seeded', 'repeat', 'concat'],
)
def test_looks_inside_wrappers(prepared: Path, wrap: Any) -> None:
    assert check_data(config(wrap(leaf(prepared)))) == {'train': 8}


def test_a_split_without_masks(drawn: Path) -> None:
    dataset = leaf(drawn, 'val', data_prefix={'img_path': 'leftImg8bit/val'})
    assert check_data(config(dataset, 'test')) == {'test': 3}


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'the train data root .*nowhere does not exist'):
        check_data(config(leaf(tmp_path / 'nowhere')))


def test_missing_folder(prepared: Path) -> None:
    match = r'the val folder .*leftImg8bit/dev \(img_path\) does not exist; .* gtFine, leftImg8bit'
    with pytest.raises(ValueError, match=match):
        check_data(config(leaf(prepared, 'dev'), 'val'))


def test_missing_list_of_images(prepared: Path) -> None:
    with pytest.raises(ValueError, match=r'the train ann_file .*few\.txt does not exist'):
        check_data(config(leaf(prepared, ann_file='few.txt')))


def test_no_images(prepared: Path) -> None:
    with pytest.raises(ValueError, match=r'no train images were found in .* img_suffix'):
        check_data(config(leaf(prepared, img_suffix='.tiff')))


def test_half_prepared(drawn: Path) -> None:
    match = r'half-prepared: .* 8 of 8 train images have no mask.*run: python tools/prepare_citysc'
    with pytest.raises(ValueError, match=match):
        check_data(config(leaf(drawn)))


def test_one_mask_missing(prepared_copy: Path) -> None:
    mask = first(prepared_copy, '*_labelTrainIds.png')
    mask.unlink()
    first(prepared_copy, '*_polygons.json').unlink()
    with pytest.raises(ValueError, match=rf'^1 of 8 train images have no mask: .*{mask.name}'):
        check_data(config(leaf(prepared_copy)))


@pytest.mark.parametrize('pattern', ['*_leftImg8bit.png', '*_labelTrainIds.png'])
def test_truncated_file(prepared_copy: Path, pattern: str) -> None:
    path = first(prepared_copy, pattern)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf'1 of 16 train files are broken: .*{path.name} is a tr'):
        check_data(config(leaf(prepared_copy)))


def test_unregistered_type(prepared: Path) -> None:
    with pytest.raises(ValueError, match="type 'NoSuchDataset' is not registered"):
        check_data(config(leaf(prepared) | {'type': 'NoSuchDataset'}))
