"""Backbones of mmpretrain; imported on its own, ``mmseg_infopro`` does without mmpretrain.

A config names this module in ``custom_imports``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mmpretrain.models.backbones import ConvNeXt, PoolFormer
from mmseg.registry import MODELS
from torch import Tensor, nn

from .branches import run_layers
from .unrolled import Emit, Unit, UnrolledBackbone


def _unit(path: str, stage: int) -> Unit:
    return Unit(path, partial(run_layers, paths=(path,)), (path,), stage=stage)


def _norm(backbone: nn.Module, x: Tensor, path: str) -> Tensor:
    return backbone.get_submodule(path)(x)


def _convnext_norm(backbone: ConvNeXt, x: Tensor, path: str) -> Tensor:
    if backbone.gap_before_final_norm:
        return _norm(backbone, x.mean([-2, -1], keepdim=True), path).flatten(1)
    return _norm(backbone, x, path)


def convnext_units(self: ConvNeXt) -> tuple[Unit, ...]:
    """Return the units; a stage's last block emits its feature, with the norm of the output.

    Boundaries are ``downsample_layers.{stage}``, of which the first is the stem, and
    ``stages.{stage}.{block}``, as in the parameter names.
    """
    units = []
    for stage, blocks in enumerate(self.stages):
        units.append(_unit(f'downsample_layers.{stage}', stage))
        for block in range(len(blocks)):
            units.append(_unit(f'stages.{stage}.{block}', stage))
        if stage in self.out_indices:
            norm = f'norm{stage}'
            emit = Emit(partial(_convnext_norm, path=norm), (norm,))
            units[-1] = replace(units[-1], emits=(emit,))
    return tuple(units)


def poolformer_units(self: PoolFormer) -> tuple[Unit, ...]:
    """Return the units; an output's last one emits its feature, with the norm of the output.

    Boundaries are ``patch_embed``, and as in the parameter names, which count stages and the
    downsampling between them alike, ``network.{stage}.{block}`` and ``network.{downsampling}``.
    """
    units = [_unit('patch_embed', 0)]
    stage = 0
    for index, layer in enumerate(self.network):
        path, norm = f'network.{index}', f'norm{index}'
        is_stage = isinstance(layer, nn.Sequential)
        paths = [f'{path}.{block}' for block in range(len(layer))] if is_stage else [path]
        stage += not is_stage  # downsampling begins the next one
        units += [_unit(path, stage) for path in paths]
        if index in self.out_indices:
            emit = Emit(partial(_norm, path=norm), (norm,))
            units[-1] = replace(units[-1], emits=(emit,))
    return tuple(units)


@MODELS.register_module()
class InfoProConvNeXt(UnrolledBackbone, ConvNeXt):
    """:class:`mmpretrain.models.backbones.ConvNeXt` that can be cut into local modules."""

    units = convnext_units


@MODELS.register_module()
class InfoProPoolFormer(UnrolledBackbone, PoolFormer):
    """:class:`mmpretrain.models.backbones.PoolFormer` that can be cut into local modules."""

    units = poolformer_units
