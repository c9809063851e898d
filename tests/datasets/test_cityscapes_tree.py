import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from cityscapesscripts.helpers.labels import trainId2label
from mmengine.structures import PixelData
from mmseg.datasets import CityscapesDataset
from mmseg.evaluation import IoUMetric
from PIL import Image

from mmseg_infopro.datasets.cityscapes_tree import inspect_tree, prepare_tree, write_masks


def problems(root: Path) -> str:
    return '\n'.join(inspect_tree(root).problems)


def first(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


def test_small_counts_are_only_noted(drawn: Path) -> None:
    report = inspect_tree(drawn)
    assert not report.problems
    assert len(report.frames) == 11
    assert 'train has 8 images; the full Cityscapes has 2975' in report.notes


def test_missing_root(tmp_path: Path) -> None:
    assert 'nowhere does not exist' in problems(tmp_path / 'nowhere')


def test_empty_root_names_both_archives(tmp_path: Path) -> None:
    found = problems(tmp_path)
    assert 'leftImg8bit_trainvaltest.zip' in found
    assert 'gtFine_trainvaltest.zip' in found


def test_missing_split(tree: Path) -> None:
    (tree / 'gtFine/val').rename(tree / 'gtFine/dev')
    assert 'gtFine/val is missing' in problems(tree)


def test_test_split_may_lack_ground_truth(tree: Path) -> None:
    image = first(tree / 'leftImg8bit/val', '*.png')
    copied = tree / 'leftImg8bit/test/somewhere' / image.name
    copied.parent.mkdir(parents=True)
    copied.write_bytes(image.read_bytes())
    report = inspect_tree(tree)
    assert not report.problems
    assert any('the test split has no ground truth' in note for note in report.notes)


@pytest.mark.parametrize(
    ('pattern', 'expected'),
    [
        ('*_polygons.json', '1 of 8 train images have no polygon file'),
        ('*_leftImg8bit.png', '1 of 8 train polygon files have no image'),
    ],
)
def test_missing_file(tree: Path, pattern: str, expected: str) -> None:
    first(tree, pattern).unlink()
    assert expected in problems(tree)


def test_truncated_image(tree: Path) -> None:
    image = first(tree, '*_leftImg8bit.png')
    image.write_bytes(image.read_bytes()[:-50])
    assert f'{image} is a truncated PNG' in problems(tree)


def test_two_processes_make_what_one_makes(tree: Path, prepared: Path) -> None:
    assert prepare_tree(inspect_tree(tree).frames, workers=2) == 22
    for path in prepared.rglob('*_label*.png'):
        assert (tree / path.relative_to(prepared)).read_bytes() == path.read_bytes()
    assert not [path for path in tree.rglob('.*')]


def test_second_call_does_nothing(prepared: Path) -> None:
    assert prepare_tree(inspect_tree(prepared).frames) == 0


def test_cut_off_mask_is_made_again(prepared_copy: Path) -> None:
    mask = first(prepared_copy, '*_labelIds.png')
    whole = mask.read_bytes()
    mask.write_bytes(whole[:-30])
    assert prepare_tree(inspect_tree(prepared_copy).frames) == 1
    assert mask.read_bytes() == whole


def relabel(annotation: dict) -> None:
    annotation['objects'][3]['label'] = 'unicorn'


def resize(annotation: dict) -> None:
    annotation['imgWidth'] = 1000


def flatten(annotation: dict) -> None:
    annotation['objects'][0]['polygon'] = [1, 2]


def empty(annotation: dict) -> None:
    del annotation['objects']


@pytest.mark.parametrize(
    ('damage', 'match'),
    [
        (relabel, "_polygons.json holds the unknown label 'unicorn'"),
        (resize, '_polygons.json is for 1000x128 pixels, its image .* has 256x128'),
        (flatten, '_polygons.json cannot be drawn'),
        (empty, r"_polygons.json is no Cityscapes polygon file: KeyError\('objects'"),
    ],
)
def test_damaged_polygons(tree: Path, damage: Callable[[dict], None], match: str) -> None:
    path = first(tree, '*_polygons.json')
    annotation = json.loads(path.read_text())
    damage(annotation)
    path.write_text(json.dumps(annotation))
    with pytest.raises(ValueError, match=match):
        write_masks(inspect_tree(tree).frames[0])
    assert not list(path.parent.glob(f'*{path.name.split("_gt")[0]}*.png'))


def test_broken_json(tree: Path) -> None:
    path = first(tree, '*_polygons.json')
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=r'_polygons\.json is no Cityscapes polygon file: JSON'):
        prepare_tree(inspect_tree(tree).frames, workers=2)


def test_groups_of_known_labels_are_known(tree: Path) -> None:
    path = first(tree, '*_polygons.json')
    path.write_text(path.read_text().replace('"label": "car"', '"label": "cargroup"'))
    assert write_masks(inspect_tree(tree).frames[0]) == 2


def official_miou(truths: list[Path], predictions: list[Path]) -> float:
    args = copy.copy(official.args)
    # The instance part uses numpy.in1d, which numpy 2.4 no longer has.
    args.evalInstLevelScore, args.JSONOutput, args.quiet = False, False, True
    paths = [[str(path) for path in each] for each in (predictions, truths)]
    return float(official.evaluateImgLists(*paths, args)['averageScoreClasses'])


def test_official_evaluator_gives_the_truth_one(prepared: Path) -> None:
    truths = sorted(prepared.rglob('*_labelIds.png'))
    assert len(truths) == 11
    assert official_miou(truths, truths) == 1.0


def test_official_evaluator_agrees_with_iou_metric(prepared: Path, tmp_path: Path) -> None:
    truths = sorted((prepared / 'gtFine/train').rglob('*_labelIds.png'))
    to_id = np.array([trainId2label[i].id if i < 19 else 7 for i in range(256)], np.uint8)
    metric, predictions = IoUMetric(), []
    metric.dataset_meta = CityscapesDataset.METAINFO
    for truth in truths:
        name = truth.name.replace('labelIds', 'labelTrainIds')
        train_ids = np.array(Image.open(truth.with_name(name)))
        guess = np.roll(train_ids, (3, 9), (0, 1))
        guess[guess == 255] = 0  # a network predicts no void
        predictions.append(tmp_path / truth.name)
        Image.fromarray(to_id[guess]).save(predictions[-1])
        fields = {'pred_sem_seg': guess, 'gt_sem_seg': train_ids}
        sample = {k: PixelData(data=torch.from_numpy(v)[None].long()) for k, v in fields.items()}
        metric.process({}, [{k: {'data': v.data} for k, v in sample.items()}])
    expected = metric.evaluate(len(truths))['mIoU'] / 100
    assert 0.3 < expected < 0.95
    assert official_miou(truths, predictions) == pytest.approx(expected, abs=1e-4)
