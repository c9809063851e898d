"""What must be a dict or a list of dicts in a config, and settings that go together."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmseg.registry import MODELS

from .check_parts import did_you_mean
from .image_size import as_size
from .places import named
from .walk import type_name

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
DICTS = (
    *('model', *LOADERS, 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'default_hooks'),
    *('env_cfg', 'randomness', 'visualizer', 'log_processor', 'tta_model', 'model_wrapper_cfg'),
    *('model.backbone', 'model.data_preprocessor', 'model.local', 'model.test_cfg'),
    *('optim_wrapper.optimizer', 'optim_wrapper.clip_grad', 'optim_wrapper.paramwise_cfg'),
)
LISTS = ('custom_hooks', 'tta_pipeline')
EITHER = (
    *('param_scheduler', 'val_evaluator', 'test_evaluator'),
    *('model.decode_head', 'model.auxiliary_head', 'model.neck'),
)
"""A dict, or a list of dicts."""
NO_PARTS = (str, int, float, bool, type(None))
BACKENDS = {
    'TensorboardVisBackend': ('tensorboard', 'tensorboardX'),
    'WandbVisBackend': ('wandb',),
    'MLflowVisBackend': ('mlflow',),
    'ClearMLVisBackend': ('clearml',),
    'NeptuneVisBackend': ('neptune',),
    'DVCLiveVisBackend': ('dvclive',),
    'AimVisBackend': ('aim',),
}
"""The packages that visualizer backends write through, of which one is needed."""
MODES = ('whole', 'slide')
NEED_WORKERS = ('persistent_workers', 'prefetch_factor')


def check_kinds(cfg: Config) -> None:
    """Check that what others look into is a dict or a list, and what goes together is there.

    Raises:
        ValueError: It is not; the message names the place.
    """
    for place in DICTS:
        value = _at(cfg, place)
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(f'{place} must be a dict, got {value!r}')
    for place in (*LISTS, *EITHER):
        _check_dicts(place, _at(cfg, place), is_list=place in LISTS)
    for place in LOADERS:
        _check_workers(place, cfg.get(place) or {})
    _check_windows(cfg.get('model') or {})
    _check_scope(cfg.get('default_scope'))


def _at(cfg: Any, place: str) -> Any:
    for name in place.split('.'):
        if not isinstance(cfg, Mapping | Config):
            return None
        cfg = cfg.get(name)
    return cfg


def _check_dicts(place: str, value: Any, is_list: bool) -> None:
    what = 'a list of dicts' if is_list else 'a dict or a list of dicts'
    if value is None or (isinstance(value, Mapping) and not is_list):
        return
    if not isinstance(value, (list, tuple)):
        if is_list or isinstance(value, NO_PARTS):
            raise ValueError(f'{place} must be {what}, got {value!r}')
        return
    for index, item in enumerate(value):
        if isinstance(item, NO_PARTS):
            raise ValueError(f'{place} must be {what}, got {item!r} as item {index}')


def _check_workers(place: str, loader: Mapping[str, Any]) -> None:
    for key in NEED_WORKERS:
        if loader.get(key) and not loader.get('num_workers'):
            raise ValueError(
                f'{place}.{key}={loader[key]} needs processes that load data: set '
                f'{place}.num_workers to at least 1, or leave it out'
            )


def _check_windows(model: Mapping[str, Any]) -> None:
    test_cfg = model.get('test_cfg') or {}
    mode = test_cfg.get('mode', 'whole')
    modes = [*MODES, 'slide_flip'] if 'Depth' in type_name(model) else MODES
    if mode not in modes:
        raise ValueError(f'model.test_cfg.mode must be one of {", ".join(modes)}, got {mode!r}')
    if mode == 'whole':
        return
    for key in ('crop_size', 'stride'):
        if test_cfg.get(key) is None:
            raise ValueError(
                f'model.test_cfg.mode={mode!r} needs model.test_cfg.{key}=(height, width)'
            )
        with named(f'model.test_cfg.{key}'):
            as_size(test_cfg[key])


def check_backends(cfg: Config) -> None:
    """Check that what writes for the visualizer of a run is installed.

    Raises:
        ValueError: It is not; the message names the package.
    """
    backends = (cfg.get('visualizer') or {}).get('vis_backends')
    for index, backend in enumerate(backends if isinstance(backends, (list, tuple)) else ()):
        packages = BACKENDS.get(type_name(backend), ())
        if packages and all(_is_missing(package) for package in packages):
            raise ValueError(
                f'visualizer.vis_backends[{index}] ({type_name(backend)}) needs the package '
                f'{packages[0]}, which is not installed: pip install {packages[0]}, or leave it out'
            )


def _check_scope(scope: Any) -> None:
    """A scope is a package's; registries of that name may also be made without one."""
    if scope is None:
        return
    root: Any = MODELS.parent
    known = [root.scope, *root.children, *MODELS.children]
    if not isinstance(scope, str) or (scope not in known and _is_missing(scope)):
        near = did_you_mean(str(scope), known, 0.6)
        raise ValueError(f'default_scope: there is no package or registry {scope!r}{near}')


def _is_missing(package: str) -> bool:
    try:
        return find_spec(package) is None
    except (ValueError, ImportError):
        return True
