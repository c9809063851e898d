"""What each unit of a trained network still knows: of the labels, and of the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..backbones import boundary_names, trace_backbone
from ..local.names import boundary_key
from ..local_heads import build_local_heads
from ..local_heads.border import borders_of

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
        self.frozen = (model,)  # not a part
        known = list(boundary_names(model.backbone))
        if model.context:
            known = list(model.boundaries)
        chosen = list(boundaries or known)
        for boundary in chosen:
            if boundary not in known:
                raise ValueError(f'there is no boundary {boundary!r} to probe; valid: {known}')
        if len(set(chosen)) < len(chosen):
            raise ValueError(f'each boundary is probed once, got {chosen}')
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
        (model,) = self.frozen
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
    (model,) = probes.frozen
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
