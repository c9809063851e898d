"""Which pixels count in online hard example mining, from one score of each."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.structures import OHEMPixelSampler
from torch import Tensor


def mines(sampler: Any) -> bool:
    """Whether a head's sampler is mmseg's own; another one may choose by something else."""
    return type(sampler) is OHEMPixelSampler


@torch.no_grad()
def hard_pixels(sampler: OHEMPixelSampler, scores: Tensor, valid: Tensor) -> Tensor:
    """Return the weights that ``sampler.sample`` makes of full-size logits: 1 for a hard pixel.

    Args:
        sampler: With a ``thresh``, pixels are hard whose label has a lower probability; at least
            ``min_kept`` for each sample of the batch are. Without one, those of the largest losses.
        scores: ``(B, H, W)``, the probability of each pixel's label, or without ``thresh`` the
            losses. Changed: what is ignored gets one that is never chosen.
        valid: ``(B, H, W)``, false where a pixel is ignored.
    """
    num_kept = sampler.min_kept * len(scores)
    if sampler.thresh is None:
        order = scores.masked_fill_(~valid, -1).flatten().sort(descending=True).indices
        weights = torch.zeros_like(scores).flatten()
        weights[order[:num_kept]] = 1
        return weights.view_as(scores) * valid
    in_order = scores.masked_fill_(~valid, torch.inf).flatten().sort().values
    last = (valid.sum() - 1).clamp(0, num_kept)
    threshold = in_order.gather(0, last.view(1)).clamp(min=sampler.thresh)
    return (scores < threshold).to(scores.dtype)
