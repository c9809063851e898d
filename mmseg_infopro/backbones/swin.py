"""Swin Transformer: the patch embedding, then one unit per block and per patch merging."""

from __future__ import annotations

from functools import partial
from math import isqrt

from mmseg.models.backbones import SwinTransformer
from mmseg.registry import MODELS
from torch import Tensor, nn

from .tokens import Tokens, token_border, token_feature
from .unrolled import Emit, Unit, UnrolledBackbone


def _patch_embed(backbone: SwinTransformer, image: Tensor) -> Tokens:
    tokens, size = backbone.patch_embed(image)
    if backbone.use_abs_pos_embed:
        tokens = tokens + backbone.absolute_pos_embed
    return backbone.drop_after_pos(tokens), size


def _block(backbone: nn.Module, state: Tokens, path: str) -> Tokens:
    tokens, size = state
    return backbone.get_submodule(path)(tokens, size), size


def _downsample(backbone: nn.Module, state: Tokens, path: str) -> Tokens:
    return backbone.get_submodule(path)(*state)


def _feature(backbone: nn.Module, state: Tokens, norm: str) -> Tensor:
    tokens, size = state
    return token_feature(backbone, (backbone.get_submodule(norm)(tokens), size))


def swin_units(self: SwinTransformer) -> tuple[Unit, ...]:
    """Return the units; a stage's last block emits its feature, before the patch merging.

    Boundaries are ``patch_embed``, ``stages.{stage}.blocks.{block}`` and
    ``stages.{stage}.downsample``. The output norms train where the features are read.
    """
    units = [Unit('patch_embed', _patch_embed, ('patch_embed', 'absolute_pos_embed'), stage=0)]
    for stage, layers in enumerate(self.stages):
        depth = len(layers.blocks)
        for block in range(depth):
            path, norm = f'stages.{stage}.blocks.{block}', f'norm{stage}'
            ends_stage = block == depth - 1 and stage in self.out_indices
            emits = (Emit(partial(_feature, norm=norm), (norm,)),) if ends_stage else ()
            # The attention's shortcut is added outside of it, the FFN's inside.
            residuals = (f'{path}.attn', f'{path}.ffn.dropout_layer')
            apply = partial(_block, path=path)
            units.append(Unit(path, apply, (path,), emits, residuals, stage))
        if layers.downsample:
            path = f'stages.{stage}.downsample'
            apply = partial(_downsample, path=path)
            units.append(Unit(path, apply, (path,), stage=stage + 1))
    return tuple(units)


def swin_example_size(self: SwinTransformer) -> tuple[int, int]:
    """Return an image size; absolute position embeddings fix the number of patches."""
    if not self.use_abs_pos_embed:
        return UnrolledBackbone.example_size(self)
    patches = self.absolute_pos_embed.shape[1]
    rows = max(rows for rows in range(1, isqrt(patches) + 1) if patches % rows == 0)
    height, width = self.patch_embed.projection.stride
    return rows * height, patches // rows * width


@MODELS.register_module()
class InfoProSwinTransformer(UnrolledBackbone, SwinTransformer):
    """:class:`mmseg.models.backbones.SwinTransformer` that can be cut into local modules."""

    units = swin_units
    border_features = token_border
    example_size = swin_example_size
