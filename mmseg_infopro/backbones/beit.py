"""BEiT and MAE: the embedding of the patches, then one unit per encoder layer."""

from __future__ import annotations

from mmseg.models.backbones import MAE, BEiT
from mmseg.registry import MODELS
from torch import Tensor

from .tokens import Tokens, token_border, token_feature
from .unrolled import Emit, Unit, UnrolledBackbone
from .vit import embed_patches, layer_units

RESIDUALS = ('drop_path',)
"""Both branches of a layer go through it, one after the other."""


def _embed(backbone: MAE, image: Tensor) -> Tokens:
    tokens, size = embed_patches(backbone, image)
    return tokens + backbone.pos_embed, size


def beit_units(self: BEiT) -> tuple[Unit, ...]:
    """Return the units ``patch_embed`` and ``layers.{index}``."""
    embedding = Unit('patch_embed', embed_patches, ('patch_embed', 'cls_token'))
    return embedding, *layer_units(self, Emit(token_feature), RESIDUALS)


def mae_units(self: MAE) -> tuple[Unit, ...]:
    """Return the units ``patch_embed`` and ``layers.{index}``."""
    embedding = Unit('patch_embed', _embed, ('patch_embed', 'cls_token', 'pos_embed'))
    return embedding, *layer_units(self, Emit(token_feature), RESIDUALS)


def beit_example_size(self: BEiT) -> tuple[int, int]:
    """Return the image size: the position biases fix the number of patches."""
    return self.img_size


@MODELS.register_module()
class InfoProBEiT(UnrolledBackbone, BEiT):
    """:class:`mmseg.models.backbones.BEiT` that can be cut into local modules."""

    units = beit_units
    border_features = token_border
    example_size = beit_example_size


@MODELS.register_module()
class InfoProMAE(UnrolledBackbone, MAE):
    """:class:`mmseg.models.backbones.MAE` that can be cut into local modules."""

    units = mae_units
    border_features = token_border
    example_size = beit_example_size
