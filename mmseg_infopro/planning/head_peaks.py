"""The peaks of local heads, and of what follows the backbone, measured on fake tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..backbones import State, UnrolledBackbone
from ..local.feature_flow import auxiliary_heads
from ..local_heads import head_losses
from ..measure.dry_step import peak_beyond
from ..measure.fake import UpperBounds
from ..measure.work import Work, WorkCounter
from ..upstream import decode_head_losses, tree_leaves, tree_map_only
from .unit_bytes import SavedBytes, as_leaf


def peak_of_heads(
    heads: nn.ModuleList,
    backbone: UnrolledBackbone,
    state: State,
    samples: list[SegDataSample],
    image: Tensor,
    entry: Sequence[Tensor],
    recomputes: bool,
) -> tuple[int, Work]:
    """Return the peak of the local heads at a border, beyond the border's state, and their work.

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

    def step() -> None:
        losses = [
            head_losses(head, border, samples, image, entry, residuals, start) for head in heads
        ]
        _total(losses).backward()

    return _measured(step, _viewed(heads, [*tree_leaves(start), *border]) if recomputes else ())


def peak_of_tail(
    model: EncoderDecoder,
    features: list[Tensor],
    samples: list[SegDataSample],
    aux_heads: Sequence[int],
    recomputes: bool,
) -> tuple[int, Work]:
    """Return the peak of neck, decode head and some auxiliary heads, and their work.

    The peak is that beyond the features.
    """

    def step() -> None:
        _tail_loss(model, features, samples, aux_heads).backward()

    return _measured(step, _viewed(model, features) if recomputes else ())


def saved_by_tail(
    model: EncoderDecoder,
    features: list[Tensor],
    samples: list[SegDataSample],
    aux_heads: Sequence[int],
) -> int:
    """Return the bytes that neck, decode head and some auxiliary heads keep for a backward pass.

    Features are not among them: the units' own bytes hold them.
    """
    saved = SavedBytes([*model.parameters(), *model.buffers(), *_tensors(features)])
    with UpperBounds(), saved:
        _tail_loss(model, features, samples, aux_heads)
    return saved.take()[0]


def _tail_loss(
    model: EncoderDecoder,
    features: list[Tensor],
    samples: list[SegDataSample],
    aux_heads: Sequence[int],
) -> Tensor:
    heads = auxiliary_heads(model)
    inputs = model.neck(tuple(features)) if model.with_neck else tuple(features)
    losses = [decode_head_losses(model, inputs, samples)]
    losses += [heads[index].loss(inputs, samples, model.train_cfg) for index in aux_heads]
    return _total(losses)


def _measured(step: Callable[[], None], existing: Sequence[Tensor]) -> tuple[int, Work]:
    work = WorkCounter()
    peak = peak_beyond(step, existing, work)
    return peak, work.forward + work.backward


def _viewed(heads: nn.Module, features: Sequence[Any]) -> list[Tensor]:
    """Return what recomputing makes views of, which are no bytes of the heads' own."""
    return [*_tensors(features), *heads.parameters(), *heads.buffers()]


def _total(losses: Sequence[Mapping[str, Tensor]]) -> Tensor:
    values = [value.mean() for part in losses for key, value in part.items() if 'loss' in key]
    return torch.stack(values).sum()


def _tensors(features: Sequence[Any]) -> list[Tensor]:
    """Return what features consist of; those of some backbones are nests."""
    return [leaf for leaf in tree_leaves(features) if isinstance(leaf, Tensor)]
