"""Networks of timm whose features are read between layers that run one after the other."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Return one unit per layer that has parameters; what follows it without any belongs to it.

    Boundaries are ``timm_model.{layer}`` and, within an ``nn.Sequential``,
    ``timm_model.{layer}.{block}``.
    """
    runs: list[list[str]] = []
    read: list[bool] = []
    for path, layer, is_read in _layers(self.timm_model):
        joins = bool(runs) and not read[-1] and next(layer.parameters(), None) is None
        if joins:
            runs[-1].append(path)
            read[-1] = is_read
        else:
            runs.append([path])
            read.append(is_read)
    return tuple(
        Unit(paths[0], partial(run_layers, paths=tuple(paths)), tuple(paths), emits)
        for paths, emits in zip(runs, ((Emit(_feature),) if r else () for r in read), strict=True)
    )


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
        super().__init__(model_name, *args, **kwargs)
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
