"""Backbone wrappers: mmseg's backbones, unrolled into units that they can be cut between."""

from .beit import InfoProBEiT, InfoProMAE
from .erfnet import InfoProERFNet
from .hrnet import InfoProHRNet
from .mit import InfoProMixVisionTransformer
from .mobilenet import InfoProMobileNetV2, InfoProMobileNetV3
from .mscan import InfoProMSCAN
from .refused import REFUSED
from .resnet import (
    InfoProResNeSt,
    InfoProResNet,
    InfoProResNetV1c,
    InfoProResNetV1d,
    InfoProResNeXt,
)
from .stdc import InfoProSTDCContextPathNet, InfoProSTDCNet
from .swin import InfoProSwinTransformer
from .trace import BackboneTrace, FeatureShape, FeatureSize, trace_backbone
from .twins import InfoProPCPVT, InfoProSVT
from .unet import InfoProUNet
from .unrolled import (
    Emit,
    Feature,
    State,
    Unit,
    UnrolledBackbone,
    boundary_names,
    identity,
    numbered_emits,
    owned_parameters,
)
from .vit import InfoProVisionTransformer

__all__ = [
    'REFUSED',
    'BackboneTrace',
    'Emit',
    'Feature',
    'FeatureShape',
    'FeatureSize',
    'InfoProBEiT',
    'InfoProERFNet',
    'InfoProHRNet',
    'InfoProMAE',
    'InfoProMSCAN',
    'InfoProMixVisionTransformer',
    'InfoProMobileNetV2',
    'InfoProMobileNetV3',
    'InfoProPCPVT',
    'InfoProResNeSt',
    'InfoProResNeXt',
    'InfoProResNet',
    'InfoProResNetV1c',
    'InfoProResNetV1d',
    'InfoProSTDCContextPathNet',
    'InfoProSTDCNet',
    'InfoProSVT',
    'InfoProSwinTransformer',
    'InfoProUNet',
    'InfoProVisionTransformer',
    'State',
    'Unit',
    'UnrolledBackbone',
    'boundary_names',
    'identity',
    'numbered_emits',
    'owned_parameters',
    'trace_backbone',
]
