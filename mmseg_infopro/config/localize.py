"""Turns any mmseg config into its local form: the same network, trained in local modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from os import PathLike
from typing import Any

from mmengine.config import Config, ConfigDict
from mmseg.models.segmentors import DepthEstimator
from mmseg.registry import MODELS

from ..backbones import REFUSED, UnrolledBackbone
from ..backbones.supported import supported_backbones
from ..local.infopro_heads import DEFAULT, check_word, read_heads
from ..local.settings import PARTITION_KEYS
from .build import SEGMENTORS, is_local, model_class
from .edit import fill_image_range, fill_scope, set_partition
from .methods import check_heads_of_method, use_method
from .read import read_config
from .recipes import find_recipe, use_default_recipe, use_recipe
from .walk import type_name

REFUSED_SEGMENTORS = {
    'MultimodalEncoderDecoder': 'its image encoder is a frozen CLIP, so that a cut would save '
    'nothing: what trains is the side adapter, which is part of the decode head',
}
WRAPPERS_OF_SCOPE = {'mmpretrain': 'mmseg_infopro.backbones.mmpretrain_backbones'}
"""For each scope of a backbone's type, the module that wraps its backbones."""

MASK_HEADS = ('MaskFormerHead', 'Mask2FormerHead')


def localize(
    cfg: Config | str | PathLike[str],
    num_modules: int | None = None,
    *,
    boundaries: Sequence[str] | None = None,
    memory_cap: int | str | None = None,
    heads: str | Sequence[Mapping[str, Any]] | None = None,
    method: str | None = None,
    recipe: str | None = None,
) -> Config:
    """Return a config's local form; parameter names, data, schedule and prediction stay.

    Args:
        cfg: A config, or the file (or ``mmseg::name``) that it is read from; not changed. One that
            is local already gets another partition.
        num_modules: K. Exactly one of this, ``boundaries`` and ``memory_cap``.
        boundaries: The units after which a local module ends.
        memory_cap: As ``'12GiB'``, or ``'40%'`` of what end-to-end training needs.
        heads: The local heads of every boundary; ``'fitted'`` or ``'paper'`` for InfoPro's. If not
            given, those of the config, else fitted ones.
        method: One of :data:`~.methods.METHODS`, whose heads, schedule and context replace the
            config's. With ``'e2e'`` there is one module, which needs no other argument.
        recipe: One of :data:`~.recipes.RECIPES`, or one with levers as ``'lean+offload'``: what the
            step keeps and makes again, with the same gradients. If not given, a config that is cut
            for the first time gets :data:`~.recipes.DEFAULT`, any other keeps its own.

    Raises:
        TypeError: The segmentor or the backbone cannot be cut; the message says why.
        ValueError: Not exactly one of ``num_modules``, ``boundaries`` and ``memory_cap``, an
            unknown method, recipe or word for heads, or heads that a method does not have.
    """
    word = check_word(heads) if isinstance(heads, str) else DEFAULT
    if recipe is not None:
        find_recipe(recipe)
    if method is not None:
        check_heads_of_method(method, heads)
        if method == 'e2e':
            num_modules = _one_module(num_modules, boundaries, memory_cap)
    cfg = read_config(str(cfg)) if isinstance(cfg, (str, PathLike)) else deepcopy(cfg)
    wishes = zip(PARTITION_KEYS, (num_modules, boundaries, memory_cap), strict=True)
    partition = {key: value for key, value in wishes if value is not None}
    if len(partition) != 1:
        raise ValueError(
            f'localize takes exactly one of {", ".join(PARTITION_KEYS)}, '
            f'got {" and ".join(partition) or "none"}'
        )
    fill_scope(cfg)
    is_new = 'local' not in cfg.model or not is_local(cfg.model)
    if is_new:
        _add_imports(cfg, _wrapper_modules(cfg.model))
        cfg.merge_from_dict(local_types(cfg.model))
        cfg.model.setdefault('local', ConfigDict())  # command lines may have set some of it
    set_partition(cfg, **partition)
    if num_modules == 1:  # whatever a schedule would say of local passes, a context of inputs
        for key in ('schedule', 'context'):
            cfg.model.local.pop(key, None)
    if method is not None:
        if method != 'e2e' and _estimates_depth(cfg.model):
            raise ValueError(
                f'method={method!r} does not fit a depth estimator: its local heads classify '
                'pixels; give heads that regress depth, in model.local.heads'
            )
        use_method(cfg, method, word)
    elif heads is not None or 'heads' not in cfg.model.local:
        heads = word if heads is None else heads
        if isinstance(heads, str) and num_modules != 1:
            _check_default_heads(cfg.model)
        cfg.model.local.heads = [ConfigDict(head) for head in read_heads(heads)]
    if recipe is not None:
        use_recipe(cfg, recipe)
    elif is_new and num_modules != 1:
        use_default_recipe(cfg)
    fill_image_range(cfg)
    _add_imports(cfg, ['mmseg_infopro'])
    return cfg


def _one_module(
    num_modules: int | None, boundaries: Sequence[str] | None, memory_cap: int | str | None
) -> int:
    """Return K of end-to-end training.

    Raises:
        ValueError: Another partition was asked for.
    """
    if num_modules not in (None, 1) or boundaries or memory_cap is not None:
        raise ValueError(
            "method='e2e' trains end to end, in one module: leave num_modules, boundaries and "
            'memory_cap out, or name another method'
        )
    return 1


def _wrapper_modules(model: Mapping[str, Any]) -> list[str]:
    """Import and return what wraps the backbones of packages that we do without otherwise."""
    backbone = model.get('backbone') or {}
    scope = str(backbone.get('type')).rpartition('.')[0]
    modules = [WRAPPERS_OF_SCOPE[scope]] if scope in WRAPPERS_OF_SCOPE else []
    for module in modules:
        import_module(module)
    return modules


def _add_imports(cfg: Config, modules: Sequence[str]) -> None:
    imports = (cfg.get('custom_imports') or {}).get('imports', [])
    imports = [imports] if isinstance(imports, str) else list(imports)
    added = [module for module in modules if module not in imports]
    if added:
        cfg.custom_imports = dict(imports=[*imports, *added], allow_failed_imports=False)


def local_types(model: Mapping[str, Any]) -> dict[str, str]:
    """Return the types to set in a config, by key, for its model to train in local modules.

    Raises:
        TypeError: The segmentor, its decode head or the backbone cannot be cut.
    """
    segmentor = type_name(model)
    if segmentor in REFUSED_SEGMENTORS:
        raise TypeError(f'{segmentor} cannot be cut: {REFUSED_SEGMENTORS[segmentor]}')
    is_ours = is_local(model)
    if segmentor not in SEGMENTORS and not is_ours:
        raise TypeError(
            f'model.type must be one of {", ".join(SEGMENTORS)} to be cut, got {segmentor}'
        )
    decode_head = model.get('decode_head')
    if isinstance(decode_head, Mapping) and type_name(decode_head) in MASK_HEADS:
        raise TypeError(
            f'{type_name(decode_head)} classifies masks, not pixels: it needs mmdet and its '
            'matching costs, and pixel-wise local heads would train the early modules for another '
            'task; use a pixel-wise decode head, as UPerHead, on the same backbone'
        )
    return {
        'model.type': model['type'] if is_ours else SEGMENTORS[segmentor],
        'model.backbone.type': _unrolled_type(model['backbone']),
    }


def _unrolled_type(backbone: Mapping[str, Any]) -> Any:
    """Return the type of the backbone that can be cut, which may be the one that is there."""
    found, name = model_class(backbone), type_name(backbone)
    if found is not None and issubclass(found, UnrolledBackbone):
        return backbone['type']
    if name in REFUSED:
        raise TypeError(f'backbone {name} cannot be cut into local modules: {REFUSED[name]}')
    if MODELS.get(f'InfoPro{name}') is None:
        wrapped = [wrapper.removeprefix('InfoPro') for wrapper in supported_backbones()]
        raise TypeError(
            f'backbone {name} cannot be cut into local modules; supported: {", ".join(wrapped)}'
        )
    return f'InfoPro{name}'


def _estimates_depth(model: Mapping[str, Any]) -> bool:
    found = model_class(model)
    return found is not None and issubclass(found, DepthEstimator)


def _check_default_heads(model: Mapping[str, Any]) -> None:
    if _estimates_depth(model):
        raise ValueError(
            'heads must be given for a depth estimator: the default local heads classify pixels'
        )
