import json
from pathlib import Path

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import name2label
from mmseg.registry import DATASETS
from PIL import Image, ImageDraw

from mmseg_infopro.datasets.streets import StreetSettings, draw_scene, scene_paths, write_streets
from mmseg_infopro.datasets.streets.render import outline
from mmseg_infopro.datasets.streets.shapes import Patch, Shape, rectangle

TINY = StreetSettings(train=2, val=1, height=64, width=128)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def test_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    for workers in (0, 2):
        write_streets(tmp_path / str(workers), TINY, workers=workers)
    assert contents(tmp_path / '0') == contents(tmp_path / '2')


def test_scene_does_not_depend_on_the_order() -> None:
    forward = [draw_scene(TINY, 'train', index)[0] for index in (0, 1)]
    backward = [draw_scene(TINY, 'train', index)[0] for index in (1, 0)]
    np.testing.assert_array_equal(forward, backward[::-1])


@pytest.mark.parametrize(
    ('settings', 'split', 'index'),
    [(TINY, 'train', 8), (TINY, 'val', 0), (StreetSettings(2, 1, 64, 128, seed=1), 'train', 0)],
    ids=['index', 'split', 'seed'],
)
def test_other_scenes_differ(settings: StreetSettings, split: str, index: int) -> None:
    assert not np.array_equal(
        draw_scene(settings, split, index)[0], draw_scene(TINY, 'train', 0)[0]
    )


def test_all_classes_appear_in_eight_scenes(prepared: Path) -> None:
    masks = sorted((prepared / 'gtFine/train').rglob('*_labelTrainIds.png'))
    ids = np.concatenate([np.asarray(Image.open(path)).ravel() for path in masks])
    assert np.unique(ids).tolist() == [*range(19), 255]
    assert np.bincount(ids)[:19].min() > 50


def test_polygons_have_the_official_form(drawn: Path) -> None:
    annotation = json.loads(scene_paths(drawn, 'train', 0)[1].read_text())
    assert set(annotation) == {'imgHeight', 'imgWidth', 'objects'}
    assert all(set(item) == {'label', 'polygon'} for item in annotation['objects'])
    points = np.concatenate([item['polygon'] for item in annotation['objects']])
    assert points.min() >= 0
    assert points[:, 0].max() < annotation['imgWidth']
    assert points[:, 1].max() < annotation['imgHeight']


def test_mmseg_loads_the_painter_order_of_the_polygons(prepared: Path) -> None:
    dataset = DATASETS.build(
        {
            'type': 'CityscapesDataset',
            'data_root': str(prepared),
            'data_prefix': {'img_path': 'leftImg8bit/val', 'seg_map_path': 'gtFine/val'},
            'pipeline': [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}],
        }
    )
    assert len(dataset) == 3
    for sample in (dataset[index] for index in range(3)):
        polygons = sample['seg_map_path'].replace('_labelTrainIds.png', '_polygons.json')
        canvas = Image.new('L', sample['img'].shape[1::-1], 255)
        for item in json.loads(Path(polygons).read_text())['objects']:
            points = [tuple(point) for point in item['polygon']]
            ImageDraw.Draw(canvas).polygon(points, fill=name2label[item['label']].trainId)
        np.testing.assert_array_equal(sample['gt_seg_map'], np.asarray(canvas))


def test_image_and_labels_agree() -> None:
    """At day the sky's pixels are bluer than red, and a tree's are green: nothing is shifted."""
    settings = StreetSettings(height=128, width=256)
    image, annotation = draw_scene(settings, 'train', 1)
    canvas = Image.new('L', (256, 128))
    for item in annotation['objects']:
        points = [tuple(point) for point in item['polygon']]
        ImageDraw.Draw(canvas).polygon(points, fill=name2label[item['label']].id)
    labels = np.asarray(canvas)
    red, green, blue = image[labels == name2label['vegetation'].id].mean(0)
    assert green > max(red, blue)
    red, _, blue = image[labels == name2label['sky'].id].mean(0)
    assert blue > red + 30


def test_outline_is_cut_at_the_border_and_keeps_the_largest_piece() -> None:
    parts = (
        Patch(rectangle(-5, 2, 6, 8), (0, 0, 0)),
        Patch(rectangle(12, 2, 14, 4), (0, 0, 0)),
    )
    polygon = np.array(outline(Shape('car', parts), 20, 30))
    assert (polygon.min(0).tolist(), polygon.max(0).tolist()) == ([0, 2], [6, 8])


def test_what_is_tiny_is_left_out() -> None:
    assert outline(Shape('car', (Patch(rectangle(1, 1, 2, 2), (0, 0, 0)),)), 20, 30) is None


def test_second_call_does_nothing(tmp_path: Path) -> None:
    assert write_streets(tmp_path, TINY)
    assert not write_streets(tmp_path, TINY)


def test_interrupted_call_is_taken_up(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_streets(tmp_path, TINY, on_scene=stop)
    assert write_streets(tmp_path, TINY)
    assert len(list(tmp_path.rglob('*.json'))) == 4


def test_refuses_a_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / 'thesis.tex').touch()
    with pytest.raises(ValueError, match=r'is not empty and holds no streets\.json'):
        write_streets(tmp_path, TINY)


def test_refuses_other_settings(tmp_path: Path) -> None:
    write_streets(tmp_path, TINY)
    with pytest.raises(ValueError, match=r"was made with .*'seed': 0.* not with .*'seed': 5"):
        write_streets(tmp_path, StreetSettings(2, 1, 64, 128, seed=5))


def test_refuses_a_broken_manifest(tmp_path: Path) -> None:
    (tmp_path / 'streets.json').write_text('{}')
    with pytest.raises(ValueError, match='is no manifest of street scenes'):
        write_streets(tmp_path, TINY)


@pytest.mark.parametrize(
    ('name', 'value'), [('train', 0), ('val', 0), ('height', 8), ('width', 8), ('seed', -1)]
)
def test_impossible_settings(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf'{name} must be at least \d+, got {value}'):
        StreetSettings(**{name: value})


def test_unknown_split() -> None:
    with pytest.raises(ValueError, match="split must be one of train, val, got 'test'"):
        draw_scene(TINY, 'test', 0)
