"""States of transformers: tokens, and the size of the feature map whose pixels they are."""

from __future__ import annotations

from mmseg.models.utils import nlc_to_nchw
from torch import Tensor, nn

Tokens = tuple[Tensor, tuple[int, int]]
"""Tokens ``(B, N, C)``, class tokens first, and height and width of the map."""


def token_map(state: Tokens) -> Tensor:
    """Return the tokens as a map ``(B, C, H, W)``, a view of them; class tokens are left out."""
    tokens, (height, width) = state
    return nlc_to_nchw(tokens[:, -height * width :], (height, width))


def token_feature(backbone: nn.Module, state: Tokens) -> Tensor:
    """Return the tokens as a feature: most transformers lay it out anew."""
    return token_map(state).contiguous()


def token_border(self: nn.Module, state: Tokens | Tensor) -> list[Tensor]:
    """Return the map that a local head reads; the state may be one already."""
    return [state if isinstance(state, Tensor) else token_map(state)]
