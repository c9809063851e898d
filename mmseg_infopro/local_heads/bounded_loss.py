"""Losses whose code needs the values of its inputs, for planning on tensors without any."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmseg.models import losses as mmseg_losses
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ..measure.fake import UpperBounds, fake_copy
from ..upstream import FakeTensorMode

SIZE = 8
"""Height and width of the logits that a loss is tried on."""


class BoundedLoss(nn.Module):
    """Stands in for a loss on tensors without values: with what such losses keep, and more.

    Probabilities, one-hot labels and their squared differences, each as large as the logits.

    Args:
        criterion: The loss.
    """

    def __init__(self, criterion: Any) -> None:
        super().__init__()
        self.loss_name = criterion.loss_name
        self.loss_weight = getattr(criterion, 'loss_weight', 1.0)

    def forward(self, logits: Tensor, label: Tensor, **kwargs: Any) -> Tensor:
        """Return a loss of logits ``(B, C, H, W)`` and labels ``(B, H, W)``."""
        probabilities = logits.float().softmax(dim=1)
        error = probabilities - torch.zeros_like(probabilities)
        return self.loss_weight * (error.square() * probabilities).mean()


def bound_losses(model: nn.Module, source: nn.Module | None = None) -> None:
    """Put a :class:`BoundedLoss` in place of each loss that fails on fake tensors, in place.

    Losses that fail on real ones as well stay, to say so.

    Args:
        model: To be measured only.
        source: The same model on real tensors; itself if not given.
    """
    for path, layer in list((source or model).named_modules()):
        criteria: Any = getattr(layer, 'loss_decode', None)
        several = isinstance(criteria, nn.ModuleList)
        for index, criterion in enumerate(criteria if several else [criteria]):
            if not isinstance(criterion, nn.Module) or type(criterion) is CrossEntropyLoss:
                continue
            if needs_values(criterion, getattr(layer, 'out_channels', None) or 2):
                name = type(criterion).__name__
                MMLogger.get_current_instance().warning(
                    f'{name} reads the values of its inputs: planning takes it for a loss that '
                    'keeps a few tensors of the size of its logits'
                )
                owner: Any = model.get_submodule(path) if path else model
                bounded = BoundedLoss(criterion)
                if several:
                    owner.loss_decode[index] = bounded
                else:
                    owner.loss_decode = bounded


def needs_values(criterion: nn.Module, num_classes: int) -> bool:
    """Whether a loss runs on real tensors, on some device at least, but not on fake ones."""
    mode = FakeTensorMode()
    fake = fake_copy(criterion, mode)
    try:
        with mode, UpperBounds():
            _call(fake, num_classes)
    except Exception as error:
        return _runs(criterion, num_classes) or (
            type(criterion).__name__ in mmseg_losses.__all__ and isinstance(error, RuntimeError)
        )
    return False


def _runs(criterion: nn.Module, num_classes: int) -> bool:
    try:
        with torch.random.fork_rng([]):
            _call(deepcopy(criterion), num_classes)
    except Exception:
        return False
    return True


def _call(criterion: Any, num_classes: int) -> None:
    logits = torch.zeros(2, num_classes, SIZE, SIZE, requires_grad=True)
    label = torch.zeros(2, SIZE, SIZE, dtype=torch.long)
    label[:, : SIZE // 2] = min(1, num_classes - 1)
    criterion(logits, label, weight=None, ignore_index=255).sum().backward()
