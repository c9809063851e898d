"""Twins, PCPVT and SVT: one unit per patch embedding and per block."""

from __future__ import annotations

from functools import partial

from mmseg.models.backbones import PCPVT, SVT
from mmseg.registry import MODELS
from torch import Tensor

from .tokens import Tokens, token_border, token_feature
from .unrolled import Emit, Unit, UnrolledBackbone


def _patch_embed(backbone: PCPVT, x: Tensor, stage: int) -> Tokens:
    tokens, size = backbone.patch_embeds[stage](x)
    return backbone.position_encoding_drops[stage](tokens), size


def _block(backbone: PCPVT, state: Tokens, stage: int, block: int) -> Tokens | Tensor:
    tokens, size = state
    tokens = backbone.layers[stage][block](tokens, size)
    if block == 0:
        tokens = backbone.position_encodings[stage](tokens, size)
    if block < len(backbone.layers[stage]) - 1:
        return tokens, size
    if backbone.norm_after_stage:
        tokens = backbone.norm_list[stage](tokens)
    return token_feature(backbone, (tokens, size))


def _block_owns(self: PCPVT, stage: int, block: int) -> tuple[str, ...]:
    # One position encoding and norm exist per embed_dims, which may name more stages than depths.
    is_last_stage = stage == len(self.layers) - 1
    stages = range(stage, len(self.position_encodings) if is_last_stage else stage + 1)
    owns = [f'layers.{stage}.{block}']
    if block == 0:
        owns += [f'position_encodings.{i}' for i in stages]
    if block == len(self.layers[stage]) - 1:
        owns += [f'norm_list.{i}' for i in stages]
    return tuple(owns)


def twins_units(self: PCPVT) -> tuple[Unit, ...]:
    """Return the units; a stage's last block includes its norm, if any, and emits its feature.

    Boundaries are ``patch_embeds.{stage}`` and ``layers.{stage}.{block}``, as in the parameter
    names. A stage's first block includes its position encoding.
    """
    units = []
    for stage, blocks in enumerate(self.layers):
        path = f'patch_embeds.{stage}'
        units.append(Unit(path, partial(_patch_embed, stage=stage), (path,), stage=stage))
        for block in range(len(blocks)):
            ends_stage = block == len(blocks) - 1 and stage in self.out_indices
            units.append(
                Unit(
                    f'layers.{stage}.{block}',
                    partial(_block, stage=stage, block=block),
                    _block_owns(self, stage, block),
                    (Emit(),) if ends_stage else (),
                    stage=stage,
                )
            )
    return tuple(units)


@MODELS.register_module()
class InfoProPCPVT(UnrolledBackbone, PCPVT):
    """:class:`mmseg.models.backbones.PCPVT` that can be cut into local modules."""

    units = twins_units
    border_features = token_border


@MODELS.register_module()
class InfoProSVT(UnrolledBackbone, SVT):
    """:class:`mmseg.models.backbones.SVT` that can be cut into local modules."""

    units = twins_units
    border_features = token_border
