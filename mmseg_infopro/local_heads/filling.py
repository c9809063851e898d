"""Fills in what a local head takes and the model or the border already says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmseg.registry import MODELS
from torch import nn

from ..backbones import FeatureShape
from .arguments import constructor_arguments
from .border import Border
from .chunking import chunked
from .fitting import Fit, fit, is_fitted
from .task_loss import check_not_constant, losses_of, with_task

Config = Mapping[str, Any]
OF_THE_CLASSES = ('out_channels', 'threshold', 'task_loss')
"""What does not fit a head that tells other classes apart than the decode head."""
FITTING_KEYS = ('fitted', 'share')
"""What a fitted head's configuration may say of its fit: what was found, by boundary; its share."""


def build_head(cfg: Config, border: Border, defaults: Config) -> nn.Module:
    """Build a head; what it takes and its configuration lacks is filled in.

    Args:
        cfg: Without what :func:`build_local_heads` reads itself.
        border: Where it stands.
        defaults: What the model knows; a head that names ``defaults`` gets them as they are.

    Raises:
        ValueError: It is not registered, or the border has other channels.
    """
    kind = head_class(cfg)
    if kind is None:
        near = get_close_matches(cfg['type'], MODELS.module_dict, 1)
        hint = f'did you mean {near[0]}, or ' if near else ''
        raise ValueError(f'it is not registered; {hint}is its module in custom_imports?')
    known = {**defaults, **_border_arguments(cfg.get('in_index'), border.shapes)}
    known |= dict(border=border, defaults=defaults)
    if 'in_channels' in cfg and cfg['in_channels'] != known['in_channels']:
        raise ValueError(
            f'in_channels must be {known["in_channels"]} there, got {cfg["in_channels"]}'
        )
    arguments = constructor_arguments(kind)
    if cfg.get('num_classes', known.get('num_classes')) != known.get('num_classes'):
        known = {key: value for key, value in known.items() if key not in OF_THE_CLASSES}
    if 'out_channels' not in arguments and known.get('out_channels') == 1:
        known['num_classes'] = max(2, known['num_classes'])  # labels hold foreground and background
    filled = {name: value for name, value in known.items() if name in arguments}
    if 'channels' in arguments and arguments['channels'].default is inspect.Parameter.empty:
        filled['channels'] = _default_channels(border.shapes)
    if is_fitted(kind):
        filled |= _fitted_arguments(cfg, border, defaults)
        cfg = {key: value for key, value in cfg.items() if key not in FITTING_KEYS}
    if 'loss_decode' in arguments:
        cfg = {**cfg, **_loss_of_the_task(cfg, known.get('task_loss'))}
    cfg = {**filled, **cfg}
    head = MODELS.build(chunked(cfg) if defaults.get('chunked_losses') else cfg)
    for criterion in losses_of(head):
        check_not_constant(criterion, getattr(head, 'out_channels', None) == 1)
    return head


def _loss_of_the_task(cfg: Config, task: Config | None) -> dict[str, Any]:
    if 'loss_decode' in cfg:
        return dict(loss_decode=with_task(cfg['loss_decode'], task))
    return dict(loss_decode=task) if task else {}


def _border_arguments(
    in_index: int | Sequence[int] | None, border: Sequence[FeatureShape]
) -> dict[str, Any]:
    """Return what tells a head its inputs: without ``in_index``, all that the border offers."""
    if in_index is None:
        in_index = 0 if len(border) == 1 else list(range(len(border)))
    if isinstance(in_index, int):
        shape = border[in_index]
        return dict(
            in_index=in_index,
            in_channels=shape.channels,
            stride=shape.stride,
            border_strides=[shape.stride],
        )
    return dict(
        in_index=in_index,
        in_channels=[border[index].channels for index in in_index],
        stride=border[in_index[0]].stride,
        border_strides=[border[index].stride for index in in_index],
        input_transform='resize_concat',
    )


def _fitted_arguments(cfg: Config, border: Border, defaults: Config) -> dict[str, Any]:
    """Return width and stride of a head at a border: what ``fitted`` says of it, else a fit."""
    if not is_to_fit(cfg):
        return {}
    written = (cfg.get('fitted') or {}).get(border.boundary)
    return fit_of(cfg, border, defaults).arguments if written is None else dict(written)


def is_to_fit(cfg: Config) -> bool:
    """Whether a head's width follows from where it stands, and is not given."""
    return is_fitted(head_class(cfg)) and 'channels' not in cfg


def fit_of(cfg: Config, border: Border, defaults: Config) -> Fit:
    """Return what a head gets at a border, whatever its ``fitted`` says."""
    num_classes = cfg.get('num_classes', defaults.get('num_classes', 0))
    kind = head_class(cfg)
    return fit(kind, border, num_classes, cfg.get('share', kind.share))


def _default_channels(border: Sequence[FeatureShape]) -> int:
    """Return half the border's channels, as the paper's task head has: 512 of 1024.

    At most 512, since early borders of wide networks have large maps, and a multiple of 32, which
    group norms divide.
    """
    channels = sum(shape.channels for shape in border)
    return min(512, max(32, channels // 64 * 32))


def takes_border(head_cfgs: Sequence[Config]) -> bool:
    """Whether any head asks where it stands, so that equal features do not make equal heads."""
    kinds = [
        MODELS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
        for cfg in head_cfgs
    ]
    return any(kind is not None and 'border' in constructor_arguments(kind) for kind in kinds)


def head_class(cfg: Config) -> Any:
    """Return the class of a head; None if it is not registered."""
    return MODELS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
