"""Backbone wrappers: mmseg's backbones, unrolled into units that they can be cut between."""

from .refused import REFUSED
from .resnet import (
    InfoProResNeSt,
    InfoProResNet,
    InfoProResNetV1c,
    InfoProResNetV1d,
    InfoProResNeXt,
)
from .trace import BackboneTrace, FeatureShape, trace_backbone
from .unrolled import (
    Emit,
    State,
    Unit,
    UnrolledBackbone,
    boundary_names,
    identity,
    numbered_emits,
    owned_parameters,
)

__all__ = [
    'REFUSED',
    'BackboneTrace',
    'Emit',
    'FeatureShape',
    'InfoProResNeSt',
    'InfoProResNeXt',
    'InfoProResNet',
    'InfoProResNetV1c',
    'InfoProResNetV1d',
    'State',
    'Unit',
    'UnrolledBackbone',
    'boundary_names',
    'identity',
    'numbered_emits',
    'owned_parameters',
    'trace_backbone',
]
