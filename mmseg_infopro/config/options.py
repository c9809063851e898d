"""Keys of a command line that a config lacks: new ones that something reads, or slips."""

from __future__ import annotations

import inspect
from argparse import Namespace
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch.utils.data import DataLoader

from ..local.settings import PARTITION_KEYS
from .check_parts import CATCH_ALL, CLOSE, OWN_KEYS, arguments_of, did_you_mean, find_type, hands_on
from .parts import Part, testing_parts, training_parts
from .pretrained import ALLOW_FEW
from .typed_settings import read_settings
from .walk import walk

RUN_KEYS = (
    *('tta_model', 'tta_pipeline', 'auto_scale_lr', 'find_unused_parameters', 'sync_bn'),
    *('model_wrapper_cfg', 'compile', 'custom_imports', 'work_dir', 'activation_checkpointing'),
    ALLOW_FEW,
)
NORM_KEYS = ('requires_grad',)
LOADER_KEYS = ('dataset', 'sampler', 'batch_sampler', 'num_batch_per_epoch', 'collate_fn')
KNOWN: dict[str, tuple[str, ...]] = {
    'randomness': ('seed', 'diff_rank_seed', 'deterministic'),
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'optim_wrapper.paramwise_cfg': (
        *('custom_keys', 'norm_decay_mult', 'bias_lr_mult', 'bias_decay_mult', 'bypass_duplicate'),
        *('dwconv_decay_mult', 'dcn_offset_lr_mult', 'flat_decay_mult', 'num_layers'),
        *('layer_decay_rate', 'decay_rate', 'decay_type'),
    ),
    'model.test_cfg': ('mode', 'crop_size', 'stride', 'chunked_argmax'),
}
"""What is read of mappings that have no type."""
LOOSE = ('model.test_cfg', 'optim_wrapper.paramwise_cfg')
"""Of these also what nobody here knows may be read: only slips are refused."""


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check keys before they are merged into a config.

    Raises:
        ValueError: A key is not in the config, and nothing would read it.
    """
    cfg = _with_types(cfg, options)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmseg'):
        for key in options:
            where, parent, name = first_new(cfg, key)
            if isinstance(parent, Mapping) and name:
                _check_key(cfg, where, parent, name, key)
            elif isinstance(parent, (list, tuple)) and name:
                last = f'items 0 to {len(parent) - 1}' if parent else 'no items'
                raise ValueError(f'--cfg-options {key}: {where} has {last}, got {name!r}')


def _with_types(cfg: Config, options: Mapping[str, Any]) -> Config:
    """Return a config with the types that options name: arguments beside them are of those."""
    types = {key: item for key, item in options.items() if key.endswith('.type')}
    types = {key: item for key, item in types.items() if not first_new(cfg, key)[2]}
    if not types:
        return cfg
    cfg = deepcopy(cfg)
    cfg.merge_from_dict(types)
    return cfg


def first_new(cfg: Any, key: str) -> tuple[str, Any, str]:
    """Return the deepest mapping on the way to a key, where it is, and what it lacks, if so."""
    where, found = '', cfg
    for name in key.split('.'):
        if isinstance(found, (list, tuple)) and name.isdigit():
            if int(name) >= len(found):
                return where, found, name
            where, found = f'{where}[{name}]', found[int(name)]
        elif isinstance(found, Mapping | Config) and name in found:
            where, found = f'{where}.{name}' if where else name, found[name]
        else:
            return where, dict(found.items()) if isinstance(found, Config) else found, name
    return where, found, ''


def _check_key(cfg: Config, where: str, parent: Mapping[str, Any], name: str, key: str) -> None:
    known, is_open = _read_keys(cfg, where, parent)
    if known is None or name in known or name in OWN_KEYS or name == '_delete_':
        return
    near = did_you_mean(name, known, CLOSE if is_open else 0.6)
    if is_open and not near:
        return
    place = f'{where}.' if where else ''
    hint = near.replace('mean ', f'mean {place}')
    hint = (_elsewhere(cfg, name) or hint) if not where else (hint or _elsewhere(cfg, name))
    raise ValueError(f'--cfg-options {key}: nothing reads {place}{name}{hint}')


def _read_keys(
    cfg: Config, where: str, parent: Mapping[str, Any]
) -> tuple[Iterable[str] | None, bool]:
    """Return what is read of a mapping, None if not known; and whether there may be more."""
    if not where:
        return [*inspect.signature(Runner).parameters, *RUN_KEYS, *cfg.keys()], False
    if where.endswith('_dataloader'):
        return [*inspect.signature(DataLoader.__init__).parameters, *LOADER_KEYS], False
    if where in KNOWN:
        return [*KNOWN[where], *parent], where in LOOSE
    if where == 'model.local':
        return None, True  # its reader says what it knows
    parts = {part.place: part for part in [*training_parts(cfg), *testing_parts(cfg)]}
    part = parts.get(where)
    if part is None and where.startswith('model') and 'type' in parent:
        part = Part(where, parent, MODELS, extra=('local',) if where == 'model' else NORM_KEYS)
    if part is None:
        return list(parent), True
    try:
        kind = find_type(part)
        takes = arguments_of(kind)
    except (ValueError, TypeError):  # what it is will be said when it is built
        return None, True
    named = [key for key, item in takes.items() if item.kind not in CATCH_ALL]
    handed_on = hands_on(kind, part.cfg)
    is_open = handed_on is None and any(
        item.kind is inspect.Parameter.VAR_KEYWORD for item in takes.values()
    )
    return [*named, *(handed_on or ()), *part.extra, *(parent if is_open else ())], is_open


def _elsewhere(cfg: Config, name: str) -> str:
    """Return where a config has a key of this name."""
    places = [
        f'{place}.{name}' for place, item in walk(dict(cfg.items())) if place and name in item
    ]
    if name == 'seed':
        places = ['randomness.seed']
    return f': did you mean {places[0]}?' if places else ''


def check_contradictions(args: Namespace) -> None:
    """Check that a command line does not ask for two things at once.

    Raises:
        ValueError: It does.
    """
    options = read_settings(getattr(args, 'cfg_options', None) or ())
    for key in PARTITION_KEYS:
        wish = getattr(args, key, None)
        for other in PARTITION_KEYS if wish is not None else ():
            given = options.get(f'model.local.{other}')
            if given is not None and (other != key or given != wish):
                option = f'--{key.replace("_", "-")}'
                raise ValueError(
                    f'{option} {wish} and --cfg-options model.local.{other}={given} are two '
                    'partitions: leave out one'
                )
    if getattr(args, 'resume', False) and options.get('load_from'):
        raise ValueError(
            f'--resume goes on from the last checkpoint in the work dir, and --cfg-options '
            f'load_from={options["load_from"]} starts from another one: leave out one'
        )
