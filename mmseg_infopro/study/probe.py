"""What each unit of a trained network still knows: of the labels, and of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmseg.evaluation import IoUMetric
from torch import Tensor, nn

from ..backbones import boundary_names, trace_backbone
from ..local.names import boundary_key
from ..local_heads import build_local_heads
from ..local_heads.border import borders_of
from .statistics import mean_iou

HEADS: dict[str, dict[str, Any]] = dict(
    linear=dict(type='LinearHead'),
    small=dict(type='FCNHead', channels=64, num_convs=1, concat_input=False, dropout_ratio=0),
    decoder=dict(type='ReconstructionHead', channels=32, downscale=2),
)
"""A 1x1 classifier; one of two layers; and what rebuilds the image, at half its size."""
FALL = 2.0
"""Points of mIoU that a fall must have to be told."""


@dataclass(frozen=True)
class Knowledge:
    """What fresh heads make of the features after a unit.

    Attributes:
        boundary: The unit.
        linear: mIoU of a linear classifier, per cent: how separable the classes are by now.
        small: mIoU of a head of two layers: what a later module could still make of it.
        rebuilt: 1 less the mean binary cross-entropy of the rebuilt image.
        image: Of what lies between the best image of one colour (0) and the image itself (1), the
            share that the rebuilt one has: cross-entropies relative to those two.
    """

    boundary: str
    linear: float
    small: float
    rebuilt: float
    image: float


class Probes(nn.Module):
    """Fresh heads after some units of a frozen network; they get no gradient into it.

    Args:
        model: A segmentor whose backbone can be cut; put into eval mode.
        boundaries: Units to probe; all that a network can be cut after, if not given. With
            contexts, the model's own boundaries.

    Raises:
        ValueError: There is no such unit, or it cannot be probed.
    """

    def __init__(self, model: Any, boundaries: Sequence[str] | None = None) -> None:
        super().__init__()
        self._model = [model]  # not a part
        known = list(boundary_names(model.backbone))
        if model.context:
            known = list(model.boundaries)
        chosen = list(boundaries or known)
        for boundary in chosen:
            if boundary not in known:
                raise ValueError(f'there is no boundary {boundary!r} to probe; valid: {known}')
        self.boundaries = [name for name in known if name in chosen]
        defaults = model.head_defaults()
        channels = len(defaults['image_mean'])
        trace = trace_backbone(model.backbone, channels)
        self.heads: Any = nn.ModuleDict()
        for border in borders_of(model.backbone, trace, self.boundaries, channels, planned=False):
            built = build_local_heads(list(HEADS.values()), border, defaults)
            by_name = nn.ModuleDict(dict(zip(HEADS, built, strict=True)))
            self.heads[boundary_key(border.boundary)] = by_name
        model.eval().requires_grad_(False)

    @torch.no_grad()
    def features(self, images: Tensor) -> Iterator[tuple[str, list[Tensor]]]:
        """Yield what stands at each boundary, of normalized images ``(B, C, H, W)``."""
        (model,) = self._model
        if model.context:
            for index, boundary in enumerate(model.boundaries):
                if boundary in self.boundaries:
                    yield boundary, model.border_features(images, index)
            return
        state: Any = images
        for unit in model.backbone.units():
            state = unit.apply(model.backbone, state)
            if unit.name in self.boundaries:
                yield unit.name, list(model.backbone.border_features(state))

    def loss(self, images: Tensor, samples: list[Any]) -> Tensor:
        """Return the sum of all heads' losses; each one's gradient is its own."""
        total = images.new_zeros(())
        for boundary, features in self.features(images):
            heads = self.heads[boundary_key(boundary)]
            for name, head in heads.items():
                if name == 'decoder':
                    losses = head.loss(features, samples, {}, images)
                else:
                    losses = head.loss(features, samples, {})
                total = total + sum(value for key, value in losses.items() if 'loss' in key)
        return total


def train_probes(
    probes: Probes,
    batches: Iterable[dict[str, Any]],
    iterations: int,
    learning_rate: float = 2e-3,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Train all heads on the same batches with Adam, its rate falling to 0 along a cosine.

    Args:
        probes: The heads.
        batches: What the training data loader yields; taken from the start when they end.
        iterations: Of all heads.
        learning_rate: At the beginning.
        advance: Called after each.
    """
    (model,) = probes._model
    optimizer = torch.optim.Adam(probes.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    probes.train()
    for data in _repeated(batches, iterations):
        data = model.data_preprocessor(data, True)
        optimizer.zero_grad(set_to_none=True)
        probes.loss(data['inputs'], data['data_samples']).backward()
        optimizer.step()
        schedule.step()
        advance()


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
    (model,) = probes._model
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


def largest_fall(knowledge: Sequence[Knowledge]) -> str | None:
    """Say where information that later modules need is lost; None where it is nowhere.

    Further units can make more of what they get, so a small head's mIoU should rise; where it falls
    below what it was at any unit before, what made the difference is gone.
    """
    worst: tuple[float, Knowledge, Knowledge] | None = None
    best: Knowledge | None = None
    for point in knowledge:
        if best is not None and (worst is None or best.small - point.small > worst[0]):
            worst = (best.small - point.small, best, point)
        if best is None or point.small > best.small:
            best = point
    if worst is None or worst[0] < FALL:
        return None
    fall, before, after = worst
    return (
        f"the small head's mIoU falls by {fall:.1f} points at {after.boundary} "
        f'({before.small:.1f} after {before.boundary}, {after.small:.1f} here)'
    )


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


def _repeated(batches: Iterable[Any], count: int) -> Iterator[Any]:
    done = 0
    while done < count:
        before = done
        for data in batches:
            yield data
            done += 1
            if done == count:
                return
        if done == before:
            raise ValueError('the training data loader yields no batch')
