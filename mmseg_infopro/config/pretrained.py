"""Where a model config names pretrained weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .walk import DROPPED, replaced, type_name, walk


def without_pretrained(model_cfg: Any) -> Any:
    """Return a copy of a model config that loads no pretrained weights, in any part of it."""
    return replaced(model_cfg, _untrained)


def _untrained(cfg: dict[str, Any]) -> Any:
    if type_name(cfg) == 'Pretrained':
        return DROPPED
    weights = cfg.get('pretrained')
    if weights is True:
        cfg['pretrained'] = False
    elif weights is None or isinstance(weights, str):
        cfg.pop('pretrained', None)
    return cfg


def pretrained_files(model_cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files and URLs that a model config loads pretrained weights from.

    Names of a model zoo, as ``open-mmlab://resnet50_v1c``, are left to mmengine, which knows where
    they lead.
    """
    for _, cfg in walk(model_cfg):
        named = [cfg.get('pretrained')]
        if type_name(cfg) == 'Pretrained':
            named.append(cfg.get('checkpoint'))
        for name in named:
            if isinstance(name, str) and ('://' not in name or name.startswith('http')):
                yield name
