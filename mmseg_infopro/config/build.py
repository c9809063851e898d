"""From a model config to a model."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from .pretrained import without_pretrained


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
    model_cfg = without_pretrained(cfg.model)
    if 'local' in model_cfg:
        model_cfg.local = ConfigDict(num_modules=1)
    return build_model(model_cfg)
