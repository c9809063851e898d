"""MSCAN, of SegNeXt: one unit per patch embedding and per block."""

from __future__ import annotations

from functools import partial

from mmseg.models.backbones import MSCAN
from mmseg.registry import MODELS
from torch import Tensor, nn

from .tokens import Tokens, token_border, token_feature
from .unrolled import Emit, Unit, UnrolledBackbone


def _patch_embed(backbone: nn.Module, x: Tensor, path: str) -> Tokens:
    tokens, height, width = backbone.get_submodule(path)(x)
    return tokens, (height, width)


def _block(backbone: nn.Module, state: Tokens, path: str) -> Tokens:
    tokens, size = state
    return backbone.get_submodule(path)(tokens, *size), size


def _last_block(backbone: nn.Module, state: Tokens, path: str, norm: str) -> Tensor:
    tokens, size = _block(backbone, state, path)
    return token_feature(backbone, (backbone.get_submodule(norm)(tokens), size))


def mscan_units(self: MSCAN) -> tuple[Unit, ...]:
    """Return the units; a stage's last block includes its norm and emits its feature.

    Boundaries are ``patch_embed{stage}`` and ``block{stage}.{block}``, stages counted from 1, as
    in the parameter names.
    """
    units = []
    for stage in range(1, self.num_stages + 1):
        path = f'patch_embed{stage}'
        units.append(Unit(path, partial(_patch_embed, path=path), (path,), stage=stage))
        *blocks, last = range(len(getattr(self, f'block{stage}')))
        for block in blocks:
            path = f'block{stage}.{block}'
            units.append(Unit(path, partial(_block, path=path), (path,), stage=stage))
        path, norm = f'block{stage}.{last}', f'norm{stage}'
        apply = partial(_last_block, path=path, norm=norm)
        units.append(Unit(path, apply, (path, norm), (Emit(),), stage=stage))
    return tuple(units)


@MODELS.register_module()
class InfoProMSCAN(UnrolledBackbone, MSCAN):
    """:class:`mmseg.models.backbones.MSCAN` that can be cut into local modules."""

    units = mscan_units
    border_features = token_border
