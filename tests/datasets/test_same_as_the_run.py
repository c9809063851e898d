"""The check of files refuses what plain mmseg cannot load, and nothing else."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from mmseg_infopro.datasets import check_data, check_labels, loaders

PIXELS = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8), (9, 9), 0
)
IDS = PIXELS[..., 0] // 128
PHOTO, MASK = Image.fromarray(PIXELS), Image.fromarray(IDS)


def encoded(image: Image.Image, kind: str = 'PNG', **options) -> bytes:
    image.save(buffer := BytesIO(), kind, **options)
    return buffer.getvalue()


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def noisy(content: bytes) -> bytes:
    middle, wild = len(content) // 2, np.random.default_rng(1).integers(0, 256, 99, np.uint8)
    return content[:middle] + wild.tobytes() + content[middle + 99 :]


def wrong_checksum(content: bytes, kind: bytes) -> bytes:
    at = content.index(kind) + 4 + struct.unpack('>I', content[content.index(kind) - 4 :][:4])[0]
    return content[:at] + b'\0\0\0\0' + content[at + 4 :]


def with_comment(content: bytes) -> bytes:
    body = b'tEXtComment\0here'
    part = struct.pack('>I', len(body) - 4) + body + struct.pack('>I', zlib.crc32(body))
    return content[:33] + part + content[33:]  # behind the header


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


PNG = encoded(PHOTO)
IMAGE_FILES = {
    'grey and alpha.png': encoded(PHOTO.convert('LA')),
    'palette.png': encoded(PHOTO.convert('P')),
    'one bit.png': encoded(PHOTO.convert('1')),
    'cmyk.jpg': encoded(PHOTO.convert('CMYK'), 'JPEG'),
    'whole.bmp': encoded(PHOTO, 'BMP'),
    'whole.webp': encoded(PHOTO, 'WEBP'),
    'whole.gif': encoded(PHOTO, 'GIF'),
    'whole.tif': encoded(PHOTO, 'TIFF', compression='tiff_lzw'),
    'comment.png': with_comment(PNG),
    'checksum of a comment.png': wrong_checksum(with_comment(PNG), b'tEXt'),
    'checksum of the data.png': wrong_checksum(PNG, b'IDAT'),
    'checksum of the header.png': wrong_checksum(PNG, b'IHDR'),
    'noise.png': noisy(PNG),
    'no data.png': PNG[:33] + PNG[-12:],
    'cut.bmp': cut(encoded(PHOTO, 'BMP')),
    'cut.webp': cut(encoded(PHOTO, 'WEBP')),
    'cut.gif': cut(encoded(PHOTO, 'GIF')),
    'cut.tif': cut(encoded(PHOTO, 'TIFF')),
    'text.tif': b'not found',
    'empty.webp': b'',
    'on its side.jpg': encoded(PHOTO, 'JPEG', exif=turned(6)),
    'upside down.jpg': encoded(PHOTO, 'JPEG', exif=turned(3)),
}
MASK_FILES = {
    'palette.png': encoded(MASK.convert('P')),
    'one bit.png': encoded(Image.fromarray(IDS > 0)),
    'whole.bmp': encoded(MASK, 'BMP'),
    'whole.gif': encoded(MASK, 'GIF'),
    'floats.tif': encoded(Image.fromarray(IDS.astype(np.float32)), 'TIFF'),
    'minus 1.tif': encoded(Image.fromarray(-IDS.astype(np.int32)), 'TIFF'),
    'checksum of the data.png': wrong_checksum(encoded(MASK), b'IDAT'),
    'noise.png': noisy(encoded(MASK)),
    'empty.png': b'',
    'cut.bmp': cut(encoded(MASK, 'BMP')),
    'cut.tif': cut(encoded(MASK, 'TIFF')),
    'grey and alpha.png': encoded(Image.merge('LA', [MASK] * 2)),
    'colours.png': encoded(Image.merge('RGB', [MASK] * 3)),
    'another size.png': encoded(MASK.resize((64, 48), 0)),
}
FILES = [('img', name) for name in IMAGE_FILES] + [('ann', name) for name in MASK_FILES]


def config(root: Path, kind: str, name: str, *transforms: dict) -> Config:
    """Two samples, whose images or masks are a file."""
    files = {'img': ('.png', PNG), 'ann': ('.png', encoded(MASK))}
    content = (IMAGE_FILES if kind == 'img' else MASK_FILES)[name]
    files[kind] = (Path(name).suffix, content)
    for folder, (suffix, content) in files.items():
        (root / folder).mkdir()
        for number in range(2):
            (root / folder / f'{number}{suffix}').write_bytes(content)
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='img', seg_map_path='ann'),
        img_suffix=files['img'][0],
        seg_map_suffix=files['ann'][0],
        metainfo=dict(classes=('a', 'b')),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), *transforms],
    )
    model = dict(decode_head=dict(num_classes=2))
    return Config(dict(model=model, train_dataloader=dict(dataset=dataset)))


def loads(cfg: Config) -> bool:
    """Whether plain mmseg makes an image and a mask of its size and of one channel."""
    dataset = cfg.train_dataloader.dataset
    packed = dict(dataset, pipeline=[*dataset.pipeline, dict(type='PackSegInputs')])
    try:
        sample = DATASETS.build(packed)[0]
    except Exception:
        return False
    return sample['inputs'].shape[1:] == sample['data_samples'].gt_sem_seg.data.shape[1:]


@pytest.mark.parametrize(('kind', 'name'), FILES)
def test_what_plain_mmseg_loads_passes_and_nothing_else(tmp_path, kind, name) -> None:
    cfg = config(tmp_path, kind, name)
    if loads(cfg):
        check_data(cfg, ('train',))
        check_labels(cfg)
        return
    with pytest.raises(ValueError, match=rf'({kind}|ann)/0\.\w+ '):
        check_data(cfg, ('train',))
        check_labels(cfg)


def test_both_outcomes_are_among_the_files(tmp_path: Path) -> None:
    for kind, name, expected in (
        ('img', 'cmyk.jpg', True),
        ('img', 'checksum of a comment.png', True),
        ('img', 'noise.png', False),
        ('ann', 'minus 1.tif', True),
        ('ann', 'another size.png', False),
    ):
        (root := tmp_path / f'{kind}{name}').mkdir()
        assert loads(config(root, kind, name)) is expected


@TRANSFORMS.register_module()
class FirstChannel(BaseTransform):
    """Makes ids of colours, as many a pipeline does."""

    def transform(self, results: dict) -> dict:
        results['gt_seg_map'] = results['gt_seg_map'][..., 0]
        return results


def test_a_transform_of_ones_own_may_make_labels_of_anything(tmp_path, monkeypatch) -> None:
    cfg = config(tmp_path, 'ann', 'colours.png', dict(type='FirstChannel'))
    assert loads(cfg)
    told = warnings_of(monkeypatch)
    check_data(cfg, ('train',))
    check_labels(cfg)
    assert 'has 3 channels; one is needed, of ids, unless FirstChannel of' in told[0]


def test_masks_of_another_size_may_be_resized(tmp_path, monkeypatch) -> None:
    resize = dict(type='Resize', scale=(64, 64), keep_ratio=False)
    cfg = config(tmp_path, 'ann', 'another size.png', resize)
    assert loads(cfg)
    told = warnings_of(monkeypatch)
    check_labels(cfg)
    assert '48x64 pixels (height x width), but its image loads as 96x128' in told[0]


def test_images_that_a_loader_leaves_out_are_told(tmp_path, monkeypatch) -> None:
    cfg = config(tmp_path, 'img', 'noise.png')
    (tmp_path / 'img/1.png').write_bytes(PNG)
    loader = cfg.train_dataloader.dataset.pipeline[0]
    loader.ignore_empty = True  # not what cv2 makes nothing of
    assert not loads(cfg)
    with pytest.raises(ValueError, match=r'1 of 4 train files are broken: .*img/0\.png'):
        check_data(cfg, ('train',))
    loader.imdecode_backend = 'pillow'
    assert loads(cfg)
    told = warnings_of(monkeypatch)
    check_data(cfg, ('train',))
    check_labels(cfg)
    assert '1 of 2 train images are left out by the run: ' in told[0]


@pytest.mark.parametrize(
    ('backend', 'sentence'),
    [('turbojpeg', 'needs the package turbojpeg, which is not'), ('opencv', 'one of cv2, pillow')],
)
def test_a_decoder_that_is_not_there_is_no_fault_of_the_files(
    tmp_path, monkeypatch, backend, sentence
) -> None:
    monkeypatch.setattr(loaders, 'find_spec', lambda name: None)
    cfg = config(tmp_path, 'img', 'comment.png')
    cfg.train_dataloader.dataset.pipeline[0].imdecode_backend = backend
    assert not loads(cfg)
    with pytest.raises(ValueError, match=sentence):
        check_data(cfg, ('train',))


def warnings_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(
        logger, 'log', lambda level, text: told.append(text) if level >= 20 else None
    )
    return told
