"""What probes reach on validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmseg.evaluation import IoUMetric
from torch import Tensor, nn

from ..local.names import boundary_key
from .probe import HEADS, Knowledge, Probes
from .statistics import mean_iou


class Score:
    """Adds up a head's pixels by class, and a decoder's cross-entropies."""

    def __init__(self) -> None:
        self.areas: list[tuple[np.ndarray, np.ndarray]] = []
        self.entropies: list[tuple[float, float, float]] = []

    @property
    def miou(self) -> float:
        """Return mIoU over all images, per cent."""
        intersections, unions = (sum(one[part] for one in self.areas) for part in (0, 1))
        return float(mean_iou(np.asarray(intersections), np.asarray(unions)))

    @property
    def rebuilt(self) -> float:
        """Return 1 less the mean cross-entropy."""
        return 1 - float(np.mean([found for found, _, _ in self.entropies]))

    @property
    def image(self) -> float:
        """Return the share between one colour and the image itself."""
        found, plain, own = np.mean(self.entropies, axis=0)
        return float((plain - found) / (plain - own))


@torch.no_grad()
def evaluate_probes(
    probes: Probes, batches: Iterable[dict[str, Any]], advance: Callable[[], None] = lambda: None
) -> tuple[list[Knowledge], dict[str, float]]:
    """Return what the heads know of validation images, and the mIoU of the model's own heads.

    Args:
        probes: Trained.
        batches: What the validation data loader yields.
        advance: Called after each.

    Returns:
        The probes' figures by boundary, and per cent by ``'decode_head'`` and, as the log names
        them, ``'local_0.FCNHead'``.
    """
    (model,) = probes.frozen
    probes.eval()
    scores = {name: {kind: Score() for kind in HEADS} for name in probes.boundaries}
    own: dict[str, Score] = {}
    for data in batches:
        data = model.data_preprocessor(data, False)
        images, samples = data['inputs'], data['data_samples']
        for boundary, features in probes.features(images):
            for kind, head in probes.heads[boundary_key(boundary)].items():
                score = scores[boundary][kind]
                if kind == 'decoder':
                    score.entropies += _entropies(head, features, images)
                else:
                    score.areas += _areas(model, head, features, samples)
        for name, (head, features) in _own_heads(model, images).items():
            own.setdefault(name, Score()).areas += _areas(model, head, features, samples)
        for sample in model.predict(images, samples):
            predicted, label = sample.pred_sem_seg.data[0], sample.gt_sem_seg.data[0]
            own.setdefault('decode_head', Score()).areas += [_overlap(model, predicted, label)]
        advance()
    knowledge = [
        Knowledge(
            name, kinds['linear'].miou, kinds['small'].miou, kinds['decoder'].rebuilt,
            kinds['decoder'].image,
        )
        for name, kinds in scores.items()
    ]  # fmt: skip
    return knowledge, {name: score.miou for name, score in own.items()}


def _own_heads(model: Any, images: Tensor) -> dict[str, tuple[Any, list[Tensor]]]:
    found: dict[str, tuple[Any, list[Tensor]]] = {}
    for index in range(len(model.boundaries)):
        heads = [head for head in model.border_heads(index) if hasattr(head, 'predict_by_feat')]
        if heads:
            features = model.border_features(images, index)
            for head in heads:
                found[f'local_{index}.{type(head).__name__}'] = (head, features)
    return found


def _areas(model: Any, head: Any, features: list[Tensor], samples: list[Any]) -> list[Any]:
    sizes = [dict(img_shape=sample.gt_sem_seg.shape) for sample in samples]
    logits = head.predict(features, sizes, model.test_cfg)
    if logits.shape[1] == 1:
        predicted = (logits[:, 0].sigmoid() > head.threshold).long()
    else:
        predicted = logits.argmax(1)
    return [
        _overlap(model, one, sample.gt_sem_seg.data[0])
        for one, sample in zip(predicted, samples, strict=True)
    ]


def _overlap(model: Any, predicted: Tensor, label: Tensor) -> tuple[np.ndarray, np.ndarray]:
    head = model.decode_head[-1] if isinstance(model.decode_head, nn.ModuleList) else None
    head = head or model.decode_head
    areas = IoUMetric.intersect_and_union(
        predicted.cpu(), label.to(predicted).cpu(), head.num_classes, head.ignore_index
    )
    return areas[0].numpy(), areas[1].numpy()


def _entropies(
    head: Any, features: list[Tensor], images: Tensor
) -> list[tuple[float, float, float]]:
    """Return each image's cross-entropy as rebuilt, as its mean colour and as it is."""
    target = head.target(images)
    rebuilt = head(features, target.shape[2:])
    colour = target.mean((2, 3), keepdim=True).expand_as(target)
    return [
        (
            F.binary_cross_entropy_with_logits(logits.float(), image).item(),
            F.binary_cross_entropy(plain, image).item(),
            F.binary_cross_entropy(image, image).item(),
        )
        for logits, plain, image in zip(rebuilt, colour, target, strict=True)
    ]
