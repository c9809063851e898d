"""What the memory of a training step depends on besides the model, and a batch of that kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from ..measure.gpu_rules import gpu_rules


@dataclass(frozen=True)
class StepShape:
    """What the memory of a training step depends on, besides the model.

    Attributes:
        batch_size: Images.
        crop: Height and width, in pixels.
        in_channels: Of an image.
        autocast: Precision of mixed-precision training.
        copies: How many times the bytes of a parameter are alive all the time: once, and once
            more for each value that the optimizer keeps, as momentum; less in 8 bits.
        has_edges: Whether samples hold an edge map beside the label map.
    """

    batch_size: int
    crop: tuple[int, int]
    in_channels: int = 3
    autocast: torch.dtype | None = None
    copies: float = 2.0
    has_edges: bool = False

    @contextmanager
    def autocast_context(self) -> Iterator[None]:
        """Context of the forward pass: its precisions are those of a GPU."""
        with gpu_rules(), torch.autocast('cpu', self.autocast, bool(self.autocast)):
            yield


def training_batch(shape: StepShape) -> dict[str, Any]:
    """Make a batch as mmseg's data loader does: uint8 images and label maps of zeros."""
    height, width = shape.crop
    samples = []
    for _ in range(shape.batch_size):
        sample = SegDataSample(metainfo=dict(img_shape=shape.crop, ori_shape=shape.crop))
        label = torch.zeros(1, height, width, dtype=torch.long)
        sample.gt_sem_seg = PixelData(data=label)
        if shape.has_edges:
            sample.gt_edge_map = PixelData(data=torch.zeros_like(label))
        samples.append(sample)
    images = [
        torch.zeros(shape.in_channels, height, width, dtype=torch.uint8)
        for _ in range(shape.batch_size)
    ]
    return dict(inputs=images, data_samples=samples)


def map_bytes(samples: Iterable[SegDataSample]) -> int:
    """Return the bytes of the label and edge maps of some samples."""
    return sum(value.data.nbytes for sample in samples for value in sample.values())
