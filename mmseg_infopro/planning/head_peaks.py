"""What local heads and what follows the backbone need, measured on fake tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..backbones import State, UnrolledBackbone
from ..local.carried import Retained
from ..local.feature_flow import auxiliary_heads
from ..local_heads import head_losses
from ..measure.dry_step import peak_beyond
from ..measure.fake import UpperBounds
from ..measure.work import Work, WorkCounter
from ..upstream import decode_head_losses, tree_leaves, tree_map_only
from .unit_bytes import SavedBytes, as_leaf


@dataclass(frozen=True)
class HeadCosts:
    """What heads need.

    Attributes:
        peak: Of their passes, beyond what they read.
        saved: What they keep for their backward pass.
        work: Of both passes.
    """

    peak: int
    saved: int
    work: Work


NO_COSTS = HeadCosts(0, 0, Work())


def costs_of_heads(
    heads: nn.ModuleList,
    backbone: UnrolledBackbone,
    state: State,
    samples: list[SegDataSample],
    image: Tensor,
    entry: Sequence[Tensor],
    recomputes: bool,
) -> HeadCosts:
    """Return what the local heads at a border need, beyond the border's state.

    Args:
        heads: At the border.
        backbone: Whose border it is.
        state: There.
        samples: With the label maps.
        image: Normalized.
        entry: Features that the module starts from.
        recomputes: Whether convolutional layers of the heads recompute.
    """
    start = tree_map_only(Tensor, as_leaf, state)
    border = backbone.border_features(start)
    residuals = [image.new_zeros(()).requires_grad_()]

    def loss() -> Tensor:
        return _total(
            [head_losses(head, border, samples, image, entry, residuals, start) for head in heads]
        )

    return _costs(loss, heads, [start, border, image, entry], samples, recomputes)


def costs_of_tail(
    model: EncoderDecoder,
    features: Sequence[Retained | None],
    samples: list[SegDataSample],
    aux_heads: Sequence[int],
    recomputes: bool,
) -> HeadCosts:
    """Return what neck, decode head and some auxiliary heads need, beyond the features."""
    heads = auxiliary_heads(model)

    def loss() -> Tensor:
        inputs = _made(features, model)
        inputs = model.neck(inputs) if model.with_neck else inputs
        losses = [decode_head_losses(model, inputs, samples)]
        losses += [heads[index].loss(inputs, samples, model.train_cfg) for index in aux_heads]
        return _total(losses)

    return _costs(loss, model, _kept(features), samples, recomputes)


def costs_of_auxiliary(
    model: EncoderDecoder,
    features: Sequence[Retained | None],
    samples: list[SegDataSample],
    aux: int,
    recomputes: bool,
) -> HeadCosts:
    """Return what an auxiliary head that reads the backbone's features needs, beyond these."""
    head = auxiliary_heads(model)[aux]

    def loss() -> Tensor:
        return _total([head.loss(_made(features, model), samples, model.train_cfg)])

    return _costs(loss, model, _kept(features), samples, recomputes)


def _made(features: Sequence[Retained | None], model: EncoderDecoder) -> Any:
    return tuple(left if left is None else left.feature(model.backbone) for left in features)


def _kept(features: Sequence[Retained | None]) -> list[Any]:
    return [left.kept for left in features if left is not None]


def _costs(
    loss: Callable[[], Tensor],
    heads: nn.Module,
    features: Sequence[Any],
    samples: list[SegDataSample],
    recomputes: bool,
) -> HeadCosts:
    """Run heads.

    Args:
        loss: Their forward pass.
        heads: Which they are.
        features: What they read.
        samples: The same, with the label maps.
        recomputes: Whether convolutional layers recompute: they make views of what is there, which
            are no bytes of the heads' own.
    """
    existing = [*_tensors(features), *heads.parameters(), *heads.buffers()]
    work = WorkCounter()
    peak = peak_beyond(lambda: loss().backward(), existing if recomputes else (), work)
    saved = SavedBytes([*existing, *(sample.gt_sem_seg.data for sample in samples)])
    with UpperBounds(), saved:
        loss()
    return HeadCosts(peak, saved.take()[0], work.forward + work.backward)


def _total(losses: Sequence[Mapping[str, Tensor]]) -> Tensor:
    values = [value.mean() for part in losses for key, value in part.items() if 'loss' in key]
    return torch.stack(values).sum()


def _tensors(features: Sequence[Any]) -> list[Tensor]:
    """Return what features consist of; those of some backbones are nests."""
    return [leaf for leaf in tree_leaves(features) if isinstance(leaf, Tensor)]
