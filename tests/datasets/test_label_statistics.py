"""The scores of one class everywhere are those that mmseg's metric gives for it."""

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from mmseg_infopro.datasets.label_statistics import class_counts, constant_prediction_scores

NUM_CLASSES, IGNORED = 5, 255


def random_masks(present: list[int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.choice([*present, IGNORED], size=(9, 7)).astype(np.uint8) for _ in range(4)]


def scores_of_mmseg(masks: list[np.ndarray], label: int) -> dict[str, float]:
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=[str(index) for index in range(NUM_CLASSES)])
    for mask in masks:
        truth = torch.from_numpy(mask.astype(np.int64))[None]
        prediction = torch.full_like(truth, label)
        sample = dict(gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=prediction))
        metric.process({}, [sample])
    return metric.evaluate(size=len(masks))


def test_counts_leave_ignored_pixels_out() -> None:
    masks = [np.array([[0, 2], [2, 255]], dtype=np.uint8), np.array([[4, 2, 5]], dtype=np.uint8)]
    assert class_counts(masks, NUM_CLASSES).tolist() == [1, 0, 3, 0, 1]


@pytest.mark.parametrize('label', [1, 3])
@pytest.mark.parametrize('present', [[0, 1, 2, 3, 4], [1, 3], [0, 1, 2]])
def test_scores_are_those_of_mmseg(present: list[int], label: int) -> None:
    masks = random_masks(present)
    scores = constant_prediction_scores(class_counts(masks, NUM_CLASSES), label)
    expected = scores_of_mmseg(masks, label)
    # mmseg rounds to two digits.
    assert scores['mIoU'] == pytest.approx(expected['mIoU'], abs=0.0051)
    assert scores['aAcc'] == pytest.approx(expected['aAcc'], abs=0.0051)
