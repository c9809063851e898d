"""Which pixels count in online hard example mining, from one score of each."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def largest(losses: Tensor, valid: Tensor, num_kept: int) -> Tensor:
    """Return 1 for the pixels with the largest losses and 0 for the others.

    Args:
        losses: ``(B, H, W)``, changed: what is ignored gets a loss that is never chosen.
        valid: ``(B, H, W)``, false where a pixel is ignored.
        num_kept: How many to choose.
    """
    order = losses.masked_fill_(~valid, -1).flatten().sort(descending=True).indices
    weights = torch.zeros_like(losses).flatten()
    weights[order[:num_kept]] = 1
    return weights.view_as(losses) * valid


@torch.no_grad()
def less_probable(thresh: float, probabilities: Tensor, valid: Tensor, num_kept: int) -> Tensor:
    """Return 1 for the pixels whose label is improbable and 0 for the others.

    Args:
        thresh: Which probabilities are low; the threshold rises until there are enough pixels.
        probabilities: ``(B, H, W)``, changed: what is ignored gets one that is never chosen.
        valid: ``(B, H, W)``, false where a pixel is ignored.
        num_kept: How many to choose at least.
    """
    in_order = probabilities.masked_fill_(~valid, torch.inf).flatten().sort().values
    last = (valid.sum() - 1).clamp(0, num_kept)
    threshold = in_order.gather(0, last.view(1)).clamp(min=thresh)
    return (probabilities < threshold).to(probabilities.dtype)
