"""mmseg's IoU metric, which also keeps what each image adds to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import MessageHub
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from ..files.whole import write_whole

NAMES = ('intersections', 'unions', 'predictions', 'labels')


@METRICS.register_module()
class ImageCountsMetric(IoUMetric):
    """:class:`IoUMetric` that writes each image's pixels by class into a file of each evaluation.

    ``counts_<iteration>.json`` holds the classes and, for every image in the data set's order and
    every class, the pixels of intersection, union, prediction and label: integers of shape (N, C).

    Args:
        counts_dir: Where the files go; made if it is missing.
        kwargs: As of the parent.
    """

    def __init__(self, counts_dir: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.counts_dir = Path(counts_dir)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the counts and return the parent's metrics."""
        if results and is_main_process():
            counts = {
                name: np.stack([np.asarray(image[index]) for image in results]).astype(int).tolist()
                for index, name in enumerate(NAMES)
            }
            # During training the hub counts the iterations that are done but for the last one.
            iteration = int(MessageHub.get_current_instance().get_info('iter', -1)) + 1
            content = dict(classes=list(self.dataset_meta['classes']), **counts)
            file = self.counts_dir / f'counts_{iteration}.json'
            write_whole(file, json.dumps(content, separators=(',', ':')))
        return super().compute_metrics(results)
