"""From a model config to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from ..segmentors.encoder_decoder import InfoProEncoderDecoder
from .pretrained import without_pretrained

SEGMENTORS = {
    'EncoderDecoder': 'InfoProEncoderDecoder',
    'CascadeEncoderDecoder': 'InfoProCascadeEncoderDecoder',
    'DepthEstimator': 'InfoProDepthEstimator',
}
"""For each segmentor of mmseg that can train in local modules, the one that does."""


def build_model(model_cfg: ConfigDict) -> EncoderDecoder:
    """Build a model in mmseg's scope.

    Raises:
        ValueError: It cannot be built.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        try:
            return MODELS.build(model_cfg)
        except (AssertionError, AttributeError, KeyError) as error:
            raise ValueError(f'the model cannot be built from the config: {error}') from error


def build_end_to_end(cfg: Config) -> EncoderDecoder:
    """Build the config's model uncut, K=1, without pretrained weights."""
    return build_model(end_to_end_model(cfg))


def end_to_end_model(cfg: Config) -> ConfigDict:
    """Return the config's model as a config, uncut and without pretrained weights."""
    model_cfg = without_pretrained(cfg.model)
    if 'local' in model_cfg:
        chunks = bool((model_cfg.local or {}).get('chunked_losses'))
        model_cfg.local = ConfigDict(num_modules=1, chunked_losses=chunks)
    return model_cfg


def has_context(local: Mapping[str, Any] | None) -> bool:
    """Whether a ``model.local`` changes what is predicted; one module alone has no context."""
    if not local or local.get('context') is None:
        return False
    return local.get('boundaries') != [] and local.get('num_modules') != 1


def for_prediction(local: Mapping[str, Any]) -> ConfigDict:
    """Return what of ``model.local`` prediction needs: nothing, or a context and its partition.

    Args:
        local: With boundaries, where there is a context.

    Raises:
        ValueError: There is a context, and the boundaries are not known.
    """
    if not has_context(local):
        return ConfigDict(boundaries=[], warm_start=True)
    if local.get('boundaries') is None:
        raise ValueError(
            'local.context changes what the modules predict from, so local.boundaries must be '
            'those that it was trained with: take the config that the run has dumped in its work '
            'dir'
        )
    kept = {key: local[key] for key in ('boundaries', 'context', 'heads') if key in local}
    return ConfigDict(kept)


def model_class(model_cfg: Mapping[str, Any]) -> type | None:
    """Return the class that a ``type`` of mmseg's models stands for; None if there is none."""
    kind = model_cfg.get('type')
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    return found if isinstance(found, type) else None


def is_local(model_cfg: Mapping[str, Any]) -> bool:
    """Whether a segmentor trains in local modules: one of ours, or a class derived from it."""
    found = model_class(model_cfg)
    return found is not None and issubclass(found, InfoProEncoderDecoder)
