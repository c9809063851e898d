"""ResNet and its relatives: the stem, then one unit per residual block."""

from __future__ import annotations

from functools import partial

from mmseg.models.backbones import ResNeSt, ResNet, ResNetV1c, ResNetV1d, ResNeXt
from mmseg.registry import MODELS
from torch import Tensor, nn

from .unrolled import Emit, Unit, UnrolledBackbone


def _stem(backbone: ResNet, x: Tensor) -> Tensor:
    if backbone.deep_stem:
        return backbone.maxpool(backbone.stem(x))
    return backbone.maxpool(backbone.relu(backbone.norm1(backbone.conv1(x))))


def _block(backbone: nn.Module, x: Tensor, path: str) -> Tensor:
    return backbone.get_submodule(path)(x)


def _branch_end(block: nn.Module) -> str:
    """Return the name of the layer that ends a block's residual branch."""
    plugins = getattr(block, 'after_conv3_plugin_names', None)
    return plugins[-1] if plugins else str(getattr(block, 'norm3_name', block.norm2_name))


def resnet_units(self: ResNet) -> tuple[Unit, ...]:
    """Return the stem and the residual blocks; a stage's last block emits its feature.

    Boundaries are ``stem`` and ``layer{stage}.{block}``, as in the parameter names.
    """
    stem_paths = ('stem',) if self.deep_stem else ('conv1', self.norm1_name)
    units = [Unit('stem', _stem, stem_paths, stage=0)]
    for stage, layer_name in enumerate(self.res_layers):
        layers = getattr(self, layer_name)
        for block, layer in enumerate(layers):
            path = f'{layer_name}.{block}'
            ends_stage = block == len(layers) - 1 and stage in self.out_indices
            emits = (Emit(),) if ends_stage else ()
            residuals = (f'{path}.{_branch_end(layer)}',)
            apply = partial(_block, path=path)
            units.append(Unit(path, apply, (path,), emits, residuals, stage + 1))
    return tuple(units)


@MODELS.register_module()
class InfoProResNet(UnrolledBackbone, ResNet):
    """:class:`mmseg.models.backbones.ResNet` that can be cut into local modules."""

    units = resnet_units


@MODELS.register_module()
class InfoProResNetV1c(UnrolledBackbone, ResNetV1c):
    """:class:`mmseg.models.backbones.ResNetV1c` that can be cut into local modules."""

    units = resnet_units


@MODELS.register_module()
class InfoProResNetV1d(UnrolledBackbone, ResNetV1d):
    """:class:`mmseg.models.backbones.ResNetV1d` that can be cut into local modules."""

    units = resnet_units


@MODELS.register_module()
class InfoProResNeXt(UnrolledBackbone, ResNeXt):
    """:class:`mmseg.models.backbones.ResNeXt` that can be cut into local modules."""

    units = resnet_units


@MODELS.register_module()
class InfoProResNeSt(UnrolledBackbone, ResNeSt):
    """:class:`mmseg.models.backbones.ResNeSt` that can be cut into local modules."""

    units = resnet_units
