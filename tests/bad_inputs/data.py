"""What is done to a copy of the street scenes, by the names that the table uses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

IMAGE, MASK = '_leftImg8bit.png', '_labelTrainIds.png'


def first(data: Path, suffix: str = IMAGE, split: str = 'train') -> Path:
    """Return the first file of a kind."""
    return sorted(path for path in data.rglob(f'*{suffix}') if split in path.parts)[0]


def every(data: Path, suffix: str, split: str = 'train') -> list[Path]:
    return sorted(path for path in data.rglob(f'*{suffix}') if split in path.parts)


def no_images(data: Path) -> None:
    for path in every(data, IMAGE):
        path.unlink()


def no_data(data: Path) -> None:
    data.rename(data.with_name('elsewhere'))


def data_is_a_file(data: Path) -> None:
    no_data(data)
    data.write_text('mine')


def no_masks(data: Path) -> None:
    for path in every(data, MASK):
        path.unlink()


def one_mask_missing(data: Path) -> None:
    first(data, MASK).unlink()


def val_mask_missing(data: Path) -> None:
    first(data, MASK, 'val').unlink()


def half_an_image(data: Path) -> None:
    path = first(data)
    path.write_bytes(path.read_bytes()[:500])


def half_a_mask(data: Path) -> None:
    path = first(data, MASK)
    path.write_bytes(path.read_bytes()[:100])


def empty_image(data: Path) -> None:
    first(data).write_bytes(b'')


def text_for_an_image(data: Path) -> None:
    first(data).write_text('not an image at all')


def text_for_a_mask(data: Path) -> None:
    first(data, MASK).write_text('not an image at all')


def folder_as_an_image(data: Path) -> None:
    path = first(data)
    path.unlink()
    path.mkdir()


def folder_as_a_mask(data: Path) -> None:
    path = first(data, MASK)
    path.unlink()
    path.mkdir()


def dead_link(data: Path) -> None:
    path = first(data)
    path.unlink()
    path.symlink_to('nowhere.png')


def damaged_jpeg(data: Path) -> None:
    path = first(data)
    image = np.random.default_rng(0).integers(0, 255, (64, 128, 3), np.uint8)
    content = bytearray(cv2.imencode('.jpg', image)[1].tobytes())
    content[len(content) // 2] = 0xFF
    content[len(content) // 2 + 1] = 0x13
    path.write_bytes(bytes(content))


def dark_16_bits(data: Path) -> None:
    values = np.arange(64 * 128, dtype=np.uint16).reshape(64, 128) % 200
    cv2.imwrite(str(first(data)), np.repeat(values[..., None], 3, 2))


def mask_of_16_bits(data: Path) -> None:
    mask = np.full((64, 128), 257, np.uint16)
    cv2.imwrite(str(first(data, MASK)), mask)


def tiff_mask_of_16_bits(data: Path) -> None:
    mask = Image.fromarray(np.full((64, 128), 257, np.uint16))
    mask.save(first(data, MASK), format='TIFF')


def colour_mask(data: Path) -> None:
    Image.fromarray(np.zeros((64, 128, 3), np.uint8)).save(first(data, MASK))


def small_mask(data: Path) -> None:
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(first(data, MASK))


def small_masks_everywhere(data: Path) -> None:
    for path in every(data, MASK):
        Image.fromarray(np.zeros((32, 64), np.uint8)).save(path)


def unknown_id(data: Path) -> None:
    Image.fromarray(np.full((64, 128), 77, np.uint8)).save(first(data, MASK))


def val_unknown_id(data: Path) -> None:
    Image.fromarray(np.full((64, 128), 77, np.uint8)).save(first(data, MASK, 'val'))


def broken_polygons(data: Path) -> None:
    one_mask_missing(data)
    first(data, '_polygons.json').write_text('{"imgHeight": ')


def odd_polygons(data: Path) -> None:
    one_mask_missing(data)
    first(data, '_polygons.json').write_text('[1]')


def unknown_label(data: Path) -> None:
    one_mask_missing(data)
    path = first(data, '_polygons.json')
    content = json.loads(path.read_text())
    content['objects'][0]['label'] = 'spaceship'
    path.write_text(json.dumps(content))


def no_polygons(data: Path) -> None:
    first(data, '_polygons.json').unlink()


def no_ground_truth(data: Path) -> None:
    (data / 'gtFine').rename(data / 'gtFin')
