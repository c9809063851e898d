"""Backbone wrappers: mmseg's backbones, unrolled into units that they can be cut between."""

from .beit import InfoProBEiT, InfoProMAE
from .bisenet import InfoProBiSeNetV1, InfoProBiSeNetV2
from .cgnet import InfoProCGNet
from .ddrnet import InfoProDDRNet
from .efficientnet_lite import EfficientNetLite, InfoProEfficientNetLite
from .erfnet import InfoProERFNet
from .fast_scnn import InfoProFastSCNN
from .hrnet import InfoProHRNet
from .icnet import InfoProICNet
from .mit import InfoProMixVisionTransformer
from .mobilenet import InfoProMobileNetV2, InfoProMobileNetV3
from .mscan import InfoProMSCAN
from .pidnet import InfoProPIDNet
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
from .timm_backbone import InfoProTIMMBackbone
from .trace import BackboneTrace, FeatureShape, FeatureSize, flops_per_pixel, trace_backbone
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
    is_below,
    numbered_emits,
    owned_parameters,
)
from .vit import InfoProVisionTransformer

__all__ = [
    'REFUSED',
    'BackboneTrace',
    'EfficientNetLite',
    'Emit',
    'Feature',
    'FeatureShape',
    'FeatureSize',
    'InfoProBEiT',
    'InfoProBiSeNetV1',
    'InfoProBiSeNetV2',
    'InfoProCGNet',
    'InfoProDDRNet',
    'InfoProERFNet',
    'InfoProEfficientNetLite',
    'InfoProFastSCNN',
    'InfoProHRNet',
    'InfoProICNet',
    'InfoProMAE',
    'InfoProMSCAN',
    'InfoProMixVisionTransformer',
    'InfoProMobileNetV2',
    'InfoProMobileNetV3',
    'InfoProPCPVT',
    'InfoProPIDNet',
    'InfoProResNeSt',
    'InfoProResNeXt',
    'InfoProResNet',
    'InfoProResNetV1c',
    'InfoProResNetV1d',
    'InfoProSTDCContextPathNet',
    'InfoProSTDCNet',
    'InfoProSVT',
    'InfoProSwinTransformer',
    'InfoProTIMMBackbone',
    'InfoProUNet',
    'InfoProVisionTransformer',
    'State',
    'Unit',
    'UnrolledBackbone',
    'boundary_names',
    'flops_per_pixel',
    'identity',
    'is_below',
    'numbered_emits',
    'owned_parameters',
    'trace_backbone',
]
