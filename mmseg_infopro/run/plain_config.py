"""From a config of local modules to a plain one, in mmsegmentation's own types."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmseg import registry

from ..config.build import for_prediction, has_context
from ..config.pretrained import without_pretrained
from ..config.walk import DROPPED, replaced, walk

PACKAGE = __name__.partition('.')[0]
REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry)]
OWN_ARGUMENTS = {'LoadCheckedAnnotations': {'num_classes'}, 'PhasedPolyLR': {'phases', 'length'}}
"""Arguments that the plain type of the same work does not take."""
OWN_NETWORKS = ('EfficientNetLite',)
"""Networks that no other package has: their configs import this one."""
READ_KEYS = {*inspect.signature(Runner).parameters, 'tta_model', 'tta_pipeline'}
"""Entries of a config that are read; others are variables."""
OF_A_RUN = ('work_dir', 'launcher', 'load_from', 'resume', 'model_wrapper_cfg', 'custom_imports')


def plain_config(cfg: Config) -> Config:
    """Return a self-contained config of the same model and data in mmseg's own types.

    Pretrained weights and checkpoints to start from are left out: the exported checkpoint has
    all weights. A type without plain equivalent stays, and with it ``custom_imports``.

    Raises:
        ValueError: A part of the model has no plain equivalent.
    """
    content = {key: value for key, value in cfg.to_dict().items() if key not in OF_A_RUN}
    if has_context(cfg.model.get('local')):
        model = without_pretrained(model_of_prediction(cfg)).to_dict()
        content.pop('model')
    else:
        model = replaced(without_pretrained(content.pop('model')), _plain)
    content = {**replaced(content, _plain), 'model': model}
    kept = [name for name in own_types(content['model']) if name not in OWN_NETWORKS]
    if kept and not has_context(cfg.model.get('local')):
        raise ValueError(f'the model has no plain equivalent: it uses {", ".join(kept)}')
    imports = dict(cfg.get('custom_imports') or {})
    modules = imports.get('imports') or []
    modules = [modules] if isinstance(modules, str) else list(modules)
    # A variable's value is in what it was used for by now.
    content = {k: v for k, v in content.items() if k in READ_KEYS or not list(own_types(v))}
    if not list(own_types(content)):
        modules = [name for name in modules if name.partition('.')[0] != PACKAGE]
    if modules:
        content['custom_imports'] = {**imports, 'imports': modules}
    return Config(content)


def model_of_prediction(cfg: Config) -> ConfigDict:
    """Return the model's config without what only training takes; contexts stay."""
    return ConfigDict({**cfg.model, 'local': for_prediction(cfg.model.local)})


def own_types(value: Any) -> Iterator[str]:
    """Yield the names of this package's types, and of their subclasses, that a config uses."""
    for _, part in walk(value):
        own = _own_class(part.get('type'))
        if own is not None:
            yield own.__name__


def _plain(cfg: dict[str, Any]) -> Any:
    """Return what does the work of one of this package's types in mmseg's own, if anything does."""
    own = _own_class(cfg.get('type'))
    is_hook = own is not None and registry.HOOKS.get(own.__name__) is own
    if cfg.get('backend') == 'atomic' or (is_hook and own and plain_class(own) is None):
        return DROPPED
    if own is not None and own.__name__ == 'SeededDataset':
        return cfg['dataset']
    if cfg.get('_scope_') == PACKAGE:
        del cfg['_scope_']
    if own is None:
        return cfg
    cfg.pop('local', None)
    plain = plain_class(own)
    if plain is None:
        return cfg
    unknown = OWN_ARGUMENTS.get(own.__name__, set())
    kept = {key: value for key, value in cfg.items() if key not in unknown}
    return {**kept, 'type': _registered_name(plain)}


def plain_class(own: type) -> type | None:
    """Return the registered class that one of ours does the work of, or None.

    It is the first parent outside of this package that can be built by its name. A parent that
    is there to be derived from, as a data set's base, does not do the same work.
    """
    if issubclass(own, registry.DATASETS.get('BaseSegDataset')):
        return None
    for parent in own.__mro__[1:]:
        is_plain = not _is_own(parent) or parent.__name__ in OWN_NETWORKS
        if is_plain and _registered_name(parent):
            return parent
    return None


def _registered_name(cls: type) -> str | None:
    """Return what a config calls a class of another package, with its scope where it needs one."""
    names = (cls.__name__, f'mmpretrain.{cls.__name__}')
    scoped = names if cls.__module__.startswith('mmpretrain.') else names[:1]
    found = (name for name in scoped if any(reg.get(name) is cls for reg in REGISTRIES))
    return next(found, None)


def _own_class(name: Any) -> type | None:
    """Return the class that a ``type`` stands for, if it or a parent of it is of this package."""
    found = name
    if isinstance(name, str):
        found = next((cls for reg in REGISTRIES if (cls := reg.get(name)) is not None), None)
    return found if inspect.isclass(found) and any(map(_is_own, found.__mro__)) else None


def _is_own(cls: type) -> bool:
    return cls.__module__.partition('.')[0] == PACKAGE
