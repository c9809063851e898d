"""Where a model config names pretrained weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .walk import DROPPED, replaced, type_name, walk

ZOOS = ('modelzoo://', 'torchvision://', 'open-mmlab://', 'openmmlab://', 'mmcls://')
"""What mmengine looks up in lists of its own."""
ALLOW_FEW = 'allow_few_weights'
"""The key of a config that lets a run begin with few of the weights that it names."""
INITIALIZERS = ('Pretrained', 'PretrainedInit')
"""The name that is registered, and that of its class."""


def without_pretrained(model_cfg: Any) -> Any:
    """Return a copy of a model config that loads no pretrained weights, in any part of it."""
    return replaced(model_cfg, _untrained)


def _untrained(cfg: dict[str, Any]) -> Any:
    if type_name(cfg) in INITIALIZERS:
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
    they lead. All else is a file or a URL, whatever it looks like.
    """
    for cfg, key in _names(model_cfg):
        yield cfg[key]


def rename_pretrained(model_cfg: Mapping[str, Any], rename: Callable[[str], str]) -> None:
    """Change, in place, how a model config names the files of :func:`pretrained_files`."""
    for cfg, key in _names(model_cfg):
        cfg[key] = rename(cfg[key])


def _names(model_cfg: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """Yield each mapping that names pretrained weights, and the key."""
    for _, cfg in walk(model_cfg):
        keys = ['pretrained', 'checkpoint_path']
        if type_name(cfg) in INITIALIZERS:
            keys.append('checkpoint')
        for key in keys:
            name = cfg.get(key)
            if isinstance(name, str) and name and not name.startswith(ZOOS):
                yield cfg, key
