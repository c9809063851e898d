"""From a model config to a model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from ..segmentors.encoder_decoder import InfoProEncoderDecoder
from .check_parts import did_you_mean, registered
from .places import first_sentence
from .pretrained import without_pretrained
from .walk import walk

SEGMENTORS = {
    'EncoderDecoder': 'InfoProEncoderDecoder',
    'CascadeEncoderDecoder': 'InfoProCascadeEncoderDecoder',
    'DepthEstimator': 'InfoProDepthEstimator',
}
"""For each segmentor of mmseg that can train in local modules, the one that does."""

UNCUT_KEYS = ('chunked_losses', 'may_thaw', 'channels_last')
"""Of ``model.local``: what an uncut model that is planned for has too."""


def build_model(model_cfg: ConfigDict) -> EncoderDecoder:
    """Build a model in mmseg's scope.

    Raises:
        ValueError: It cannot be built.
    """
    with DefaultScope.overwrite_default_scope('mmseg'):
        try:
            return MODELS.build(model_cfg)
        except Exception as error:
            place, reason = failing_part(model_cfg) or ('', error)
            if place:
                near = _near_type(model_cfg, place)
                raise ValueError(f'{place}: {first_sentence(reason).rstrip(".")}{near}') from error
            if isinstance(error, (ValueError, TypeError)):
                raise
            raise ValueError(
                f'the model cannot be built from the config: {first_sentence(error)}'
            ) from error


PARTS = re.compile(
    r'.*\.(backbone|neck|decode_head|auxiliary_head|data_preprocessor|loss_decode)(\[\d+\])?'
)


def _near_type(model_cfg: Mapping[str, Any], place: str) -> str:
    kind = dict(walk(model_cfg, 'model'))[place].get('type')
    if not isinstance(kind, str) or MODELS.get(kind) is not None:
        return ''
    return did_you_mean(kind, registered(MODELS), 0.6)


def failing_part(model_cfg: Mapping[str, Any]) -> tuple[str, Exception] | None:
    """Return the innermost part of a model config that cannot be built by itself, and why."""
    places = [item for item in walk(model_cfg, 'model') if PARTS.fullmatch(item[0])]
    for place, part in reversed(places):
        try:
            MODELS.build(deepcopy(part))
        except Exception as error:
            return place, error
    return None


def build_end_to_end(cfg: Config) -> EncoderDecoder:
    """Build the config's model uncut, K=1, without pretrained weights."""
    return build_model(end_to_end_model(cfg))


def end_to_end_model(cfg: Config) -> ConfigDict:
    """Return the config's model as a config, uncut and without pretrained weights."""
    model_cfg = without_pretrained(cfg.model)
    if 'local' in model_cfg:
        kept = {key: value for key, value in (model_cfg.local or {}).items() if key in UNCUT_KEYS}
        model_cfg.local = ConfigDict(num_modules=1, **kept)
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


def takes_argument(model_cfg: Mapping[str, Any], name: str) -> bool:
    """Say whether the class that a model config names takes an argument of this name."""
    found: Any = model_class(model_cfg)
    parents = () if found is None else found.__mro__
    return any(name in inspect.signature(parent.__init__).parameters for parent in parents)
