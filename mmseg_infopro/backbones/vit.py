"""Vision Transformer: the embedding of the patches, then one unit per encoder layer."""

from __future__ import annotations

from functools import partial

import torch
from mmseg.models.backbones import BEiT, VisionTransformer
from mmseg.registry import MODELS
from torch import Tensor

from ..upstream import add_positions
from .tokens import Tokens, token_border, token_feature
from .unrolled import Emit, Feature, Unit, UnrolledBackbone


def embed_patches(backbone: VisionTransformer | BEiT, image: Tensor) -> Tokens:
    """Return the patches of an image as tokens behind the class token."""
    tokens, size = backbone.patch_embed(image)
    class_token = backbone.cls_token.expand(image.shape[0], -1, -1)
    return torch.cat((class_token, tokens), dim=1), size


def _layer(backbone: VisionTransformer | BEiT, state: Tokens, index: int) -> Tokens:
    tokens, size = state
    tokens = backbone.layers[index](tokens)
    if backbone.final_norm and index == len(backbone.layers) - 1:
        tokens = backbone.norm1(tokens)
    return tokens, size


def layer_units(
    self: VisionTransformer | BEiT, emit: Emit, residuals: tuple[str, ...]
) -> list[Unit]:
    """Return one unit per encoder layer, ``layers.{index}``; the last includes the final norm.

    Args:
        self: The backbone.
        emit: Of each unit that emits a feature.
        residuals: Those of a unit, by their paths in the layer.
    """
    units = []
    for index in range(len(self.layers)):
        path = f'layers.{index}'
        has_norm = self.final_norm and index == len(self.layers) - 1
        owns = (path, self.norm1_name) if has_norm else (path,)
        emits = (emit,) if index in self.out_indices else ()
        branches = tuple(f'{path}.{branch}' for branch in residuals)
        units.append(Unit(path, partial(_layer, index=index), owns, emits, branches))
    return units


def _embed(backbone: VisionTransformer, image: Tensor) -> Tokens:
    tokens, size = embed_patches(backbone, image)
    tokens = add_positions(backbone, tokens, size)
    if not backbone.with_cls_token:
        tokens = tokens[:, 1:]
    return backbone.pre_ln(tokens) if backbone.pre_norm else tokens, size


def _feature(backbone: VisionTransformer, state: Tokens) -> Feature:
    feature = token_feature(backbone, state)
    return [feature, state[0][:, 0]] if backbone.output_cls_token else feature


def vit_units(self: VisionTransformer) -> tuple[Unit, ...]:
    """Return the units ``patch_embed``, all up to the first layer, and ``layers.{index}``."""
    owns = ['patch_embed', 'cls_token', 'pos_embed']
    if self.pre_norm:
        owns.append(self.pre_ln_name)
    emit = Emit(_feature)
    embedding = Unit('patch_embed', _embed, tuple(owns), (emit,) if self.out_origin else ())
    residuals = ('attn.dropout_layer', 'ffn.dropout_layer')
    return embedding, *layer_units(self, emit, residuals)


@MODELS.register_module()
class InfoProVisionTransformer(UnrolledBackbone, VisionTransformer):
    """:class:`mmseg.models.backbones.VisionTransformer` that can be cut into local modules."""

    units = vit_units
    border_features = token_border
