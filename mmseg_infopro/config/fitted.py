"""Writes out what fitted local heads get at each border, so that nothing is left to later code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from ..backbones import trace_backbone
from ..backbones.supported import image_channels
from ..local.infopro_heads import DEFAULT, read_heads
from ..local.module import trains
from ..local_heads.border import Border, borders_of
from ..local_heads.filling import fit_of, head_class, is_to_fit
from ..local_heads.fitting import Fit
from ..measure.undrawn import undrawn_weights
from .build import build_end_to_end


def write_fitted(cfg: Config, model: Any = None) -> None:
    """Put the widths and strides of a config's fitted heads into it, and log a line per border.

    What is written for a boundary already stays; what is written for others goes.

    Args:
        cfg: With boundaries; ``model.local.heads`` changes in place.
        model: Of the config, uncut; built if it is needed and not given.
    """
    local = cfg.model.local
    boundaries = list(local.get('boundaries') or ())
    heads = [ConfigDict(head) for head in read_heads(local.get('heads', DEFAULT))]
    missing = {
        boundary
        for boundary in boundaries
        if any(is_to_fit(head) and boundary not in head.get('fitted', {}) for head in heads)
    }
    if not missing:
        return
    if model is None:
        with undrawn_weights():
            model = build_end_to_end(cfg)
    defaults, channels = model.head_defaults(), image_channels(model.backbone)
    model.backbone.train()  # some freeze their first stages only then
    trace = trace_backbone(model.backbone, channels)
    for border in borders_of(model.backbone, trace, boundaries, channels):
        if border.boundary in missing and _has_heads(model, border, boundaries):
            found = _fit(heads, border, defaults)
            _log(border.boundary, found)
    for head in heads:
        if 'fitted' in head:
            head.fitted = {key: value for key, value in head.fitted.items() if key in boundaries}
    local.heads = heads


def _fit(heads: list[ConfigDict], border: Border, defaults: Mapping[str, Any]) -> dict[str, Fit]:
    """Write what heads get at a border; return it by their classes' names."""
    found = {}
    for head in heads:
        is_there = 'at' not in head or border.index in head['at']
        if is_there and is_to_fit(head) and border.boundary not in head.get('fitted', {}):
            fit = fit_of(head, border, defaults)
            head['fitted'] = {**head.get('fitted', {}), border.boundary: fit.arguments}
            found[head_class(head).__name__] = fit
    return found


def _has_heads(model: Any, border: Border, boundaries: list[str]) -> bool:
    """Whether the module that ends at a border has local heads: something in it trains."""
    units = list(model.backbone.units())
    names = [unit.name for unit in units]
    index = boundaries.index(border.boundary)
    first = names.index(boundaries[index - 1]) + 1 if index else 0
    return trains(model, units[first : names.index(border.boundary) + 1])


def _log(boundary: str, fits: Mapping[str, Fit]) -> None:
    parts = [
        f'{name} {fit.channels} channels at stride {fit.stride:g}' for name, fit in fits.items()
    ]
    share = sum(fit.share for fit in fits.values())
    MMLogger.get_current_instance().info(
        f"{boundary}: {', '.join(parts)}: {share:.2%} of the backbone's FLOPs"
    )
