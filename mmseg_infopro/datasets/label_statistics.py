"""What a prediction is worth that looks at no image: the majority class everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def class_counts(masks: Iterable[np.ndarray], num_classes: int) -> np.ndarray:
    """Count the pixels of each class; ids from ``num_classes`` on are ignored.

    Args:
        masks: Label maps ``(H, W)``.
        num_classes: The number of classes.
    """
    counts = np.zeros(num_classes, dtype=np.int64)
    for mask in masks:
        counts += np.bincount(mask.ravel(), minlength=num_classes)[:num_classes]
    return counts


def constant_prediction_scores(counts: Sequence[int] | np.ndarray, label: int) -> dict[str, float]:
    """Return the mIoU and aAcc, in percent, of predicting ``label`` everywhere.

    As mmseg's ``IoUMetric`` does, the mean leaves classes out that neither occur nor are predicted.

    Args:
        counts: Labelled pixels of each class.
        label: What is predicted.
    """
    counts = np.asarray(counts, dtype=np.float64)
    accuracy = counts[label] / counts.sum()
    num_present = np.count_nonzero(counts) + (counts[label] == 0)
    return dict(mIoU=100 * accuracy / num_present, aAcc=100 * accuracy)
