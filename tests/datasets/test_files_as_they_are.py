"""The check of the data is neither stricter nor laxer than a run."""

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_infopro.datasets import LoadCheckedAnnotations, check_data
from mmseg_infopro.datasets.image_files import content_defect

PHOTO = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8), (9, 9), 0
)
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]


@DATASETS.register_module()
class StrictPairs(BaseSegDataset):
    """Takes its own arguments only."""

    METAINFO: ClassVar = dict(classes=('a', 'b'), palette=[[0, 0, 0], [1, 1, 1]])

    def __init__(self, root: str, pipeline: list) -> None:
        prefix = dict(img_path='img', seg_map_path='ann')
        super().__init__(data_root=root, data_prefix=prefix, pipeline=pipeline, img_suffix='.png')


@DATASETS.register_module()
class NeedsAPipeline(StrictPairs):
    def __init__(self, root: str, pipeline: list) -> None:
        if not pipeline:
            raise TypeError('a pipeline')
        super().__init__(root, pipeline)


@DATASETS.register_module()
class Bands(BaseSegDataset):
    """A file for each band."""

    def load_data_list(self) -> list:
        masks = sorted(Path(self.data_root, 'ann').glob('*.png'))
        files = [str(mask).replace('ann', 'img') for mask in masks]
        more = dict(label_map=None, reduce_zero_label=False, seg_fields=[])
        return [
            dict(img_path=[f, f], seg_map_path=str(m), **more)
            for f, m in zip(files, masks, strict=True)
        ]


@DATASETS.register_module()
class InMemory(BaseSegDataset):
    def load_data_list(self) -> list:
        return [dict(array=PHOTO)] * 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, image in (('img', PHOTO), ('ann', PHOTO[..., 0] // 128)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            cv2.imwrite(str(tmp_path / folder / f'{number}.png'), image)
    return tmp_path


def config(folder: Path, suffix: str = '.png', **dataset: object) -> Config:
    prefix = dict(img_path='img', seg_map_path='ann')
    own = dict(type='BaseSegDataset', data_root=str(folder), data_prefix=prefix, img_suffix=suffix)
    return Config(dict(train_dataloader=dict(dataset=dataset or dict(own, pipeline=PIPELINE))))


def as_jpeg(root: Path, change=lambda content: content) -> None:
    content = cv2.imencode('.jpg', cv2.resize(PHOTO, (640, 480)))[1].tobytes()
    for file in (root / 'img').glob('*.png'):
        file.unlink()
        file.with_suffix('.jpg').write_bytes(change(content))


OWN = [
    dict(type='StrictPairs'),
    dict(type=StrictPairs),
    dict(type='NeedsAPipeline'),
    dict(type='Bands'),
    dict(type='InMemory'),
    dict(type='Half', source=dict(type='StrictPairs')),
]


@pytest.mark.parametrize('dataset', OWN, ids=lambda cfg: str(cfg['type']))
def test_data_sets_of_ones_own_pass(root: Path, dataset: dict) -> None:
    inner = dataset.get('source', dataset)
    strict = inner['type'] == 'NeedsAPipeline' or 'StrictPairs' in str(inner['type'])
    inner = dict(inner, pipeline=PIPELINE, **{'root' if strict else 'data_root': str(root)})
    dataset = dict(dataset, source=inner) if 'source' in dataset else inner
    assert check_data(config(root, **dataset)) == {'train': 3 if 'InMemory' in str(inner) else 4}


PASSES = {
    'a trailer': lambda content: content + b'\0' * 4096,
    'a second image behind': lambda content: content + b'more' + content,
    'webp': lambda content: cv2.imencode('.webp', PHOTO)[1].tobytes(),
    'png': lambda content: cv2.imencode('.png', PHOTO)[1].tobytes(),
    'progressive': lambda _: cv2.imencode('.jpg', PHOTO, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1],
}


def noise(content: bytes) -> bytes:
    middle, wild = len(content) // 2, np.random.default_rng(1).integers(0, 256, 200, np.uint8)
    return content[:middle] + wild.tobytes() + content[middle + 200 :]


def hole(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + b'\0' * 200 + content[middle + 200 :]


REFUSED = {
    'cut off': (lambda content: content[:-300], 'is a truncated JPEG'),
    'cut off, with a trailer': (lambda content: content[:-300] + b'\0' * 99, 'is a .* JPEG'),
    'noise in the middle': (noise, 'is a (damaged|truncated) JPEG'),
    'a hole in the middle': (hole, 'is a damaged JPEG'),
    'empty': (lambda content: b'', 'is empty'),
    'text': (lambda content: b'not found', 'is neither a PNG nor a JPEG'),
}


@pytest.mark.parametrize('change', PASSES.values(), ids=PASSES)
def test_files_that_decode_pass(root: Path, change) -> None:
    as_jpeg(root, lambda content: bytes(change(content)))
    assert check_data(config(root, '.jpg')) == {'train': 4}


@pytest.mark.parametrize(('change', 'sentence'), REFUSED.values(), ids=REFUSED)
def test_files_that_are_broken_are_named(root: Path, change, sentence: str) -> None:
    as_jpeg(root, change)
    with pytest.raises(ValueError, match=rf'files are broken: .*0\.jpg {sentence}'):
        check_data(config(root, '.jpg'))


def test_noise_is_noticed_by_its_bytes_alone() -> None:
    content = cv2.imencode('.jpg', cv2.resize(PHOTO, (640, 480)))[1].tobytes()
    assert content_defect(content, '.jpg') is None
    assert 'damaged' in str(content_defect(noise(content), '.jpg'))


@pytest.mark.parametrize('entry', ['folder', 'link'])
def test_what_would_be_left_out_without_a_word_is_named(root: Path, entry: str) -> None:
    path = root / 'img/9.png'
    path.mkdir() if entry == 'folder' else path.symlink_to(root / 'gone.png')
    with pytest.raises(ValueError, match=r'9\.png is a (folder|dead link), and would be left out'):
        check_data(config(root))


def test_a_mask_that_is_a_folder_is_named(root: Path) -> None:
    (root / 'ann/1.png').unlink()
    (root / 'ann/1.png').mkdir()
    with pytest.raises(ValueError, match=r'ann/1\.png is a folder'):
        check_data(config(root))


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_ids_that_wrap_are_named(root: Path, suffix: str) -> None:
    mask = np.full((96, 128), 257, np.uint16)
    cv2.imwrite(str(root / f'ann/1{suffix}'), mask)
    cfg = config(root)
    if suffix == '.tif':
        cfg.train_dataloader.dataset.seg_map_suffix = suffix
        for number in (0, 2, 3):
            cv2.imwrite(str(root / f'ann/{number}.tif'), mask // 256)
    with pytest.raises(ValueError, match=rf'1\{suffix} holds ids of 16 bits, 257'):
        check_data(cfg)
    load = LoadCheckedAnnotations(num_classes=2)
    with pytest.raises(ValueError, match='16-bit ids; 8 bits are needed'):
        load(dict(seg_map_path=str(root / f'ann/1{suffix}'), seg_fields=[]))


def test_16_bit_images_that_load_black_are_named(root: Path) -> None:
    cv2.imwrite(str(root / 'img/0.png'), (PHOTO // 2).astype(np.uint16))
    with pytest.raises(ValueError, match=r'0\.png has values of 16 bits .*color_type'):
        check_data(config(root))
    cfg = config(root)
    cfg.train_dataloader.dataset.pipeline[0].color_type = 'unchanged'
    assert check_data(cfg) == {'train': 4}


def test_masks_of_ids_in_32_bits_pass(root: Path) -> None:
    for number in range(4):
        Image.fromarray(np.ones((96, 128), np.int32)).save(root / f'ann/{number}.tif')
    cfg = config(root)
    cfg.train_dataloader.dataset.seg_map_suffix = '.tif'
    assert check_data(cfg) == {'train': 4}


def test_only_what_a_training_reads_is_checked(root: Path) -> None:
    cfg = config(root)
    cfg.test_dataloader = dict(dataset=dict(cfg.train_dataloader.dataset, data_root='nowhere'))
    assert check_data(cfg, ('train', 'val')) == {'train': 4}
    with pytest.raises(ValueError, match='the test data root nowhere does not exist'):
        check_data(cfg)
