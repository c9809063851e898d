"""Mix Vision Transformer, of SegFormer: one unit per patch embedding and per block."""

from __future__ import annotations

from functools import partial

from mmseg.models.backbones import MixVisionTransformer
from mmseg.registry import MODELS
from torch import Tensor

from .tokens import Tokens, token_border, token_map
from .unrolled import Emit, Unit, UnrolledBackbone


def _patch_embed(backbone: MixVisionTransformer, x: Tensor, stage: int) -> Tokens:
    return backbone.layers[stage][0](x)


def _block(
    backbone: MixVisionTransformer, state: Tokens, stage: int, block: int
) -> Tokens | Tensor:
    _, blocks, norm = backbone.layers[stage]
    tokens, size = state
    tokens = blocks[block](tokens, size)
    if block < len(blocks) - 1:
        return tokens, size
    return token_map((norm(tokens), size))


def mit_units(self: MixVisionTransformer) -> tuple[Unit, ...]:
    """Return the units; a stage's last block includes its norm and emits its feature.

    Boundaries are named as the parameters are: ``layers.{stage}.0`` is a stage's patch embedding,
    ``layers.{stage}.1.{block}`` a block.
    """
    units = []
    for stage, (_, blocks, _) in enumerate(self.layers):
        path = f'layers.{stage}.0'
        units.append(Unit(path, partial(_patch_embed, stage=stage), (path,), stage=stage))
        for block in range(len(blocks)):
            path = f'layers.{stage}.1.{block}'
            ends_stage = block == len(blocks) - 1
            owns = (path, f'layers.{stage}.2') if ends_stage else (path,)
            emits = (Emit(),) if ends_stage and stage in self.out_indices else ()
            run = partial(_block, stage=stage, block=block)
            residuals = (f'{path}.attn.dropout_layer', f'{path}.ffn.dropout_layer')
            units.append(Unit(path, run, owns, emits, residuals, stage))
    return tuple(units)


@MODELS.register_module()
class InfoProMixVisionTransformer(UnrolledBackbone, MixVisionTransformer):
    """:class:`mmseg.models.backbones.MixVisionTransformer` that can be cut into local modules."""

    units = mit_units
    border_features = token_border
