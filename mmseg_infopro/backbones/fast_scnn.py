"""Fast-SCNN: the fine feature waits, beside the global feature extractor, for their fusion."""

from __future__ import annotations

from functools import partial

import torch
from mmseg.models.backbones import FastSCNN
from mmseg.registry import MODELS
from torch import Tensor

from .branches import Branches, emits_of
from .unrolled import Unit, UnrolledBackbone

FEATURES = ('fine', 'coarse', 'fused')
DOWNSAMPLE, EXTRACT = 'learning_to_downsample', 'global_feature_extractor'


def _downsample(backbone: FastSCNN, state: Tensor | Branches, path: str) -> Branches:
    x = state if isinstance(state, Tensor) else state['fine']
    return dict(fine=backbone.get_submodule(path)(x))


def _bottleneck(backbone: FastSCNN, state: Branches, path: str) -> Branches:
    x = state.get('coarse', state['fine'])
    return {**state, 'coarse': backbone.get_submodule(path)(x)}


def _pool_pyramid(backbone: FastSCNN, state: Branches) -> Branches:
    extractor, x = backbone.global_feature_extractor, state['coarse']
    return {**state, 'coarse': extractor.out(torch.cat([x, *extractor.ppm(x)], dim=1))}


def _fuse(backbone: FastSCNN, state: Branches) -> Branches:
    return dict(fused=backbone.feature_fusion(state['fine'], state['coarse']))


def fast_scnn_units(self: FastSCNN) -> tuple[Unit, ...]:
    """Return the units.

    Boundaries are ``learning_to_downsample.{conv, dsconv1, dsconv2}``, which emits the fine
    feature, ``global_feature_extractor.bottleneck{stage}.{block}``, and
    ``global_feature_extractor.out``, which emits the coarse one.
    """
    units, features = [], [FEATURES[index] for index in self.out_indices]
    for name in ('conv', 'dsconv1', 'dsconv2'):
        path = f'{DOWNSAMPLE}.{name}'
        emits = emits_of(features, 'fine', 'fine') if name == 'dsconv2' else ()
        units.append(Unit(path, partial(_downsample, path=path), (path,), emits))
    for stage in (1, 2, 3):
        blocks = getattr(self.global_feature_extractor, f'bottleneck{stage}')
        for block in range(len(blocks)):
            path = f'{EXTRACT}.bottleneck{stage}.{block}'
            units.append(Unit(path, partial(_bottleneck, path=path), (path,)))
    owns = (f'{EXTRACT}.ppm', f'{EXTRACT}.out')
    emits = emits_of(features, 'coarse', 'coarse')
    units.append(Unit(f'{EXTRACT}.out', _pool_pyramid, owns, emits))
    emits = emits_of(features, 'fused', 'fused')
    return (*units, Unit('feature_fusion', _fuse, ('feature_fusion',), emits))


def fast_scnn_border(self: FastSCNN, state: Branches) -> list[Tensor]:
    """Return the last output: the fine feature is its input."""
    return list(state.values())[-1:]


@MODELS.register_module()
class InfoProFastSCNN(UnrolledBackbone, FastSCNN):
    """:class:`mmseg.models.backbones.FastSCNN` that can be cut into local modules."""

    units = fast_scnn_units
    border_features = fast_scnn_border
