"""Networks of timm whose features are read between layers that run one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from mmseg.models.backbones import TIMMBackbone
from mmseg.registry import MODELS
from torch import Tensor, nn

from .branches import run_layers
from .unrolled import Emit, State, Unit, UnrolledBackbone

NET = 'timm_model'


def _feature(backbone: TIMMBackbone, state: State) -> Tensor:
    """Return the state, or of several maps what timm reads: the first one, or all of them."""
    if isinstance(state, Tensor):
        return state
    return torch.cat(state, 1) if backbone.timm_model.concat else state[0]


def _layers(net: Any) -> Iterator[tuple[str, nn.Module, bool]]:
    """Yield path and layer, in order, and whether a feature is read behind it."""
    for name, layer in net.named_children():
        path, is_read = f'{NET}.{name}', name in net.return_layers
        if type(layer) is nn.Sequential and len(layer):  # one derived from it may do otherwise
            last = len(layer) - 1
            for index, block in enumerate(layer):
                yield f'{path}.{index}', block, is_read and index == last
        else:
            yield path, layer, is_read


def timm_units(self: TIMMBackbone) -> tuple[Unit, ...]:
    """Return one unit per layer; one without parameters belongs to the layer before it.

    Unless a feature is read between them.

    Boundaries are ``timm_model.{layer}`` and, within an ``nn.Sequential``,
    ``timm_model.{layer}.{block}``.
    """
    units: list[Unit] = []
    for path, layer, is_read in _layers(self.timm_model):
        paths: tuple[str, ...] = (path,)
        has_parameters = next(layer.parameters(), None) is not None
        if units and not has_parameters and not units[-1].emits:
            paths = (*units.pop().owns, path)
        emits = (Emit(_feature),) if is_read else ()
        units.append(Unit(paths[0], partial(run_layers, paths=paths), paths, emits))
    return tuple(units)


def timm_border(self: TIMMBackbone, state: State) -> list[Tensor]:
    """Return the maps that the next layer reads."""
    return [state] if isinstance(state, Tensor) else list(state)


@MODELS.register_module()
class InfoProTIMMBackbone(UnrolledBackbone, TIMMBackbone):
    """:class:`mmseg.models.backbones.TIMMBackbone` that can be cut into local modules.

    Args:
        model_name: Of a model whose features timm reads with a ``FeatureListNet``.
        args: As for :class:`TIMMBackbone`.
        kwargs: As for :class:`TIMMBackbone`.

    Raises:
        TypeError: timm reads the model's features in another way.
        ValueError: Its feature maps are not laid out as ``(B, C, H, W)``.
    """

    units = timm_units
    border_features = timm_border

    def __init__(self, model_name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(model_name, *args, **deepcopy(kwargs))  # timm writes into feature_cfg
        # TIMMBackbone explains a missing timm, and others do without it.
        from timm.models import FeatureListNet

        net = self.timm_model
        if not isinstance(net, FeatureListNet):
            raise TypeError(
                f'model_name {model_name!r} cannot be cut into local modules: its features come '
                f'from a {type(net).__name__}, not from a FeatureListNet; an EfficientNet or '
                'MobileNetV3 has one with feature_cfg=dict(flatten_sequential=True)'
            )
        if net.output_fmt.value != 'NCHW':
            raise ValueError(
                f'model_name {model_name!r} cannot be cut into local modules: its feature maps '
                f'are laid out as {net.output_fmt.value}, and heads read NCHW'
            )
