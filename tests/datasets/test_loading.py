from pathlib import Path

import cv2
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

from mmseg_infopro.datasets import LoadCheckedAnnotations, LoadCheckedImage

IMAGE = np.random.default_rng(0).integers(0, 255, (32, 48, 3)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, keep: float = 1.0) -> Path:
    cv2.imwrite(str(path), pixels)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def load_image(path: Path) -> dict:
    return LoadCheckedImage().transform({'img_path': str(path)})


def load_mask(path: Path, num_classes: int = 4, **results: object) -> np.ndarray:
    results = {'seg_map_path': str(path), 'reduce_zero_label': False, 'seg_fields': []} | results
    return LoadCheckedAnnotations(num_classes=num_classes).transform(results)['gt_seg_map']


@pytest.mark.parametrize('name', ['LoadCheckedImage', 'LoadCheckedAnnotations'])
def test_is_registered(name: str) -> None:
    assert TRANSFORMS.get(name) is not None


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp'])
def test_loads_what_mmcv_loads(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f'a{suffix}', IMAGE)
    loaded = load_image(path)
    np.testing.assert_array_equal(loaded['img'], cv2.imread(str(path)))
    assert loaded['ori_shape'] == (32, 48)


@pytest.mark.parametrize(('suffix', 'kind'), [('.jpg', 'JPEG'), ('.png', 'PNG')])
def test_truncated_image(tmp_path: Path, suffix: str, kind: str) -> None:
    path = write(tmp_path / f'cut{suffix}', IMAGE, keep=0.7)
    with pytest.raises(ValueError, match=rf'the image .*cut\{suffix} is a truncated {kind}'):
        load_image(path)


def test_missing_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'the image .*none\.png cannot be read: does not exist'):
        load_image(tmp_path / 'none.png')


def test_empty_image(tmp_path: Path) -> None:
    (tmp_path / 'a.png').touch()
    with pytest.raises(ValueError, match=r'a\.png is empty'):
        load_image(tmp_path / 'a.png')


def test_no_image_at_all(tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_text('version https://git-lfs')
    with pytest.raises(ValueError, match='is neither a PNG nor a JPEG file'):
        load_image(tmp_path / 'a.png')


def test_corrupt_middle_of_an_image(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.png', IMAGE)
    content = bytearray(path.read_bytes())
    content[8:40] = bytes(32)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.png cannot be decoded'):
        load_image(path)


def test_bytes_after_the_end_of_a_jpeg_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.jpg', IMAGE)
    path.write_bytes(path.read_bytes() + bytes(100))
    assert load_image(path)['img'].shape == IMAGE.shape


def test_valid_mask(tmp_path: Path) -> None:
    mask = np.array([[0, 3], [255, 1]], np.uint8)
    np.testing.assert_array_equal(load_mask(write(tmp_path / 'm.png', mask)), mask)


def test_unknown_id(tmp_path: Path) -> None:
    path = write(tmp_path / 'm.png', np.array([[0, 4], [4, 255]], np.uint8))
    match = r'm\.png holds the id 4 \(2 pixels\); valid are 0 to 3 and 255'
    with pytest.raises(ValueError, match=match):
        load_mask(path)


def test_ids_are_checked_after_the_label_map(tmp_path: Path) -> None:
    path = write(tmp_path / 'm.png', np.array([[0, 4], [1, 2]], np.uint8))
    assert load_mask(path, label_map={4: 255}).tolist() == [[0, 255], [1, 2]]


def test_ids_are_checked_after_reduce_zero_label(tmp_path: Path) -> None:
    path = write(tmp_path / 'm.png', np.array([[0, 4], [1, 2]], np.uint8))
    assert load_mask(path, reduce_zero_label=True).tolist() == [[255, 3], [0, 1]]


def test_sixteen_bit_ids_do_not_wrap(tmp_path: Path) -> None:
    path = write(tmp_path / 'm.png', np.array([[0, 257]], np.uint16))
    with pytest.raises(ValueError, match=r'm\.png holds 16-bit ids'):
        load_mask(path)


def test_mask_of_another_size(tmp_path: Path) -> None:
    path = write(tmp_path / 'm.png', np.zeros((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r'm\.png is 4x6 pixels .* its image is 4x8'):
        load_mask(path, ori_shape=(4, 8))


def test_coloured_mask(tmp_path: Path) -> None:
    path = write(tmp_path / 'm.png', IMAGE)
    with pytest.raises(ValueError, match='one channel is needed'):
        load_mask(path)


def test_truncated_mask(tmp_path: Path) -> None:
    path = write(tmp_path / 'm.png', IMAGE[..., 0], keep=0.5)
    with pytest.raises(ValueError, match=r'the mask .*m\.png is a truncated PNG'):
        load_mask(path)


@pytest.mark.parametrize('num_classes', [0, 256])
def test_impossible_class_count(num_classes: int) -> None:
    with pytest.raises(ValueError, match='num_classes must be between 1 and 255'):
        LoadCheckedAnnotations(num_classes=num_classes)
