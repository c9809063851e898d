"""A config is looked at as a whole, before any data is read and anything is planned."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook, EMAHook
from mmengine.registry import MODELS
from mmseg.evaluation import IoUMetric
from mmseg.registry import HOOKS, METRICS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.utils.data import DataLoader

from .build import model_class
from .check_kinds import check_backends
from .check_model import check_model_parts
from .check_parts import check_parts, did_you_mean, registered
from .check_values import check_values
from .options import KNOWN, LOADER_KEYS
from .parts import Part, testing_parts, training_parts
from .pipelines import is_pipeline
from .places import named
from .trial import metric_names, try_constructor
from .walk import type_name, walk

LAYERS = ('.norm_cfg', '.act_cfg', '.conv_cfg')
TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper')


def check_training_config(cfg: Config) -> None:
    """Check all that a training run is to be built from.

    Raises:
        ValueError: Something is missing, is not known, or has a value that cannot be meant.
    """
    for key in TRAINING:
        if not isinstance(cfg.get(key), Mapping):
            raise ValueError(f'training needs {key}: it must be a dict, got {cfg.get(key)!r}')
    collates = cfg.train_dataloader.get('collate_fn')
    if cfg.model.get('data_preprocessor') is None and collates is None:
        raise ValueError('training needs model.data_preprocessor: it makes batches of the images')
    _check_together(cfg, ('val_dataloader', 'val_cfg', 'val_evaluator'))
    check_values(cfg)
    parts = list(training_parts(cfg))
    check_parts(parts)
    _check_run(cfg, ('train', 'val'))
    check_backends(cfg)
    check_model_parts(cfg.model)
    _check_constructor(cfg)
    _check_optimizer(cfg.optim_wrapper)
    _check_hooks(cfg, parts)


def check_loaders(cfg: Config, splits: tuple[str, ...]) -> None:
    """Check that data sets, which are known to be whole, have a sampler.

    Raises:
        ValueError: One has none.
    """
    for split in splits:
        loader = cfg.get(f'{split}_dataloader') or {}
        if loader.get('dataset') and not (loader.get('sampler') or loader.get('batch_sampler')):
            raise ValueError(f"{split}_dataloader needs a sampler, as dict(type='InfiniteSampler')")


def check_testing_config(cfg: Config) -> None:
    """Check all that an evaluation is to be built from.

    Raises:
        ValueError: As for training.
    """
    check_values(cfg)
    check_parts(testing_parts(cfg))
    _check_run(cfg, ('test',))
    check_backends(cfg)
    check_model_parts(cfg.model)


def _check_together(cfg: Config, keys: tuple[str, ...]) -> None:
    there = [key for key in keys if cfg.get(key)]
    if there and len(there) < len(keys):
        missing = [key for key in keys if key not in there]
        raise ValueError(
            f'{", ".join(keys)} go together, and the config has no {", ".join(missing)}: set all '
            'or none of them'
        )


def _check_run(cfg: Config, splits: tuple[str, ...]) -> None:
    if model_class(cfg.model) is None:
        near = did_you_mean(str(cfg.model.get('type')), _segmentors(), 0.6)
        raise ValueError(f'model.type: there is no model {cfg.model.get("type")!r}{near}')
    for where, part in walk(cfg.model, 'model'):
        if where.endswith(LAYERS) and part.get('type') and model_class(part) is None:
            near = did_you_mean(str(part['type']), registered(MODELS), 0.6)
            raise ValueError(f'{where}: there is no layer {part["type"]!r}{near}')
    for key in ('randomness', 'env_cfg'):
        _check_keys(key, cfg.get(key) or {}, KNOWN[key])
    takes = (*inspect.signature(DataLoader.__init__).parameters, *LOADER_KEYS)
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        known = (*takes, 'worker_init_fn', 'disable_subprocess_warning')
        _check_keys(f'{split}_dataloader', loader, known)
        _check_pipelines(f'{split}_dataloader', loader)


def _segmentors() -> list[str]:
    names: list[str] = []
    registry: Any = MODELS
    for child in (registry, *registry.children.values()):
        names += child.module_dict
    return names


def _check_pipelines(place: str, loader: Mapping[str, Any]) -> None:
    for where, part in walk(loader, place):
        for key, value in part.items():
            if key == 'pipeline' and not (is_pipeline(key, value) or value == []):
                raise ValueError(f'{where}.pipeline must be a list of dicts, got {value!r}')


def _check_keys(place: str, part: Any, known: tuple[str, ...]) -> None:
    if not isinstance(part, Mapping):
        raise ValueError(f'{place} must be a dict, got {part!r}')
    for key in part:
        if key not in known:
            near = did_you_mean(key, known, 0.6) or f'; it may have {", ".join(known)}'
            raise ValueError(f'{place} has no {key}{near}')


def _check_constructor(cfg: Config) -> None:
    name = cfg.optim_wrapper.get('constructor')
    if isinstance(name, str) and OPTIM_WRAPPER_CONSTRUCTORS.get(name) is None:
        raise ValueError(f'optim_wrapper.constructor: there is no {name!r}')
    paramwise = cfg.optim_wrapper.get('paramwise_cfg') or {}
    known = KNOWN['optim_wrapper.paramwise_cfg']
    for key in paramwise if isinstance(paramwise, Mapping) else ():
        if key not in known and (near := did_you_mean(key, known)):
            raise ValueError(f'optim_wrapper.paramwise_cfg has no {key}{near}')
    try_constructor(cfg.optim_wrapper)


def _check_optimizer(wrapper: Mapping[str, Any]) -> None:
    several = [item for item in wrapper.values() if isinstance(item, Mapping)]
    has_one = 'optimizer' in wrapper or any('optimizer' in item for item in several)
    if not (has_one or wrapper.get('constructor')):
        raise ValueError("optim_wrapper needs optimizer, as dict(type='SGD', lr=0.01)")


def _check_hooks(cfg: Config, parts: list[Part]) -> None:
    metrics = [METRICS.build(dict(p.cfg)) for p in parts if _computes_iou(p)]
    names = {name for metric in metrics for name in metric_names(metric)}
    if any(p.registry is METRICS and not _computes_iou(p) for p in parts):
        names = set()  # not all are known
    for part in parts:
        if part.registry is not HOOKS:
            continue
        kind = HOOKS.get(part.cfg['type']) if isinstance(part.cfg['type'], str) else None
        _check_scores(part, 'save_best', names)
        if kind is EarlyStoppingHook:
            _check_scores(part, 'monitor', names)
        if kind is EMAHook:
            _check_averages(part)


def _check_scores(part: Part, key: str, names: set[str]) -> None:
    """Check that a hook waits for what is computed, if that is known."""
    wanted = part.cfg.get(key)
    for name in [wanted] if isinstance(wanted, str) else wanted or ():
        if names and name != 'auto' and name.rpartition('/')[2] not in names:
            near = did_you_mean(name, names, 0.4)
            raise ValueError(
                f'{part.place} ({type_name(part.cfg)}): {key} must be one of '
                f'{", ".join(sorted(names))}, got {name!r}{near}'
            )


def _check_averages(part: Part) -> None:
    """Build what an EMAHook builds when the run begins, of one layer."""
    kind = part.cfg.get('ema_type', 'ExponentialMovingAverage')
    if isinstance(kind, str) and MODELS.get(kind) is None:
        raise ValueError(f'{part.place} (EMAHook): there is no ema_type {kind!r}')
    own = (*inspect.signature(EMAHook.__init__).parameters, *part.extra, 'type')
    rest = {key: value for key, value in part.cfg.items() if key not in own}
    with named(f'{part.place} (EMAHook)'):
        MODELS.build(dict(rest, type=kind, model=nn.Linear(1, 1)))


def _computes_iou(part: Part) -> bool:
    if part.registry is not METRICS:
        return False
    kind = part.cfg['type']
    return (METRICS.get(kind) if isinstance(kind, str) else kind) is IoUMetric
