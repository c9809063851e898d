"""Reading a config and the options of a command line, so that none is ignored in silence."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils import get_installed_path

from ..files.outputs import check_folder
from ..local.settings import PARTITION_KEYS
from ..measure.dry_step import DRY_WRAPPERS
from ..measure.sizes import bare_number
from .check_parts import check_parts
from .check_values import check_values
from .edit import set_partition
from .inheritance import check_no_circle
from .options import check_options
from .parts import optimizer_parts
from .places import first_sentence
from .pretrained import ALLOW_FEW
from .trial import try_constructor
from .typed_settings import read_settings
from .walk import type_name

PACKAGES = ('mmseg', 'mmseg_infopro')
"""Whose configs can be named as ``package::name``."""


def read_config(path: str, cfg_options: Mapping[str, Any] | Sequence[str] | None = None) -> Config:
    """Read a config and merge options into it; a partition among them replaces the config's.

    Args:
        path: A file, or ``mmseg::name`` for one that an installed package ships.
        cfg_options: By dotted key, or each typed as ``key=value``.

    Raises:
        ValueError: There is no such config, it cannot be read, or an option does not fit.
    """
    file = config_file(path)
    try:
        check_no_circle(file)
        cfg = Config.fromfile(file)
        dict(cfg.items())  # imports what a lazy config names
    except (Exception, SystemExit) as error:  # a config is code, and may end the process
        ended = 'it ends the process by ' if isinstance(error, SystemExit) else ''
        reason = first_sentence(error).partition(', the current sys.path is')[0]
        raise ValueError(f'the config {path} cannot be read: {ended}{reason}') from error
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(f'the config {path} has no model')
    if isinstance(cfg_options, Sequence):
        cfg_options = read_settings(cfg_options)
    options = dict(cfg_options or {})
    _refuse_variables(cfg, options)
    _refuse_bare_sizes(options)
    check_options(cfg, options)
    keys = [key for key in PARTITION_KEYS if f'model.local.{key}' in options]
    if len(keys) == 1 and 'local' in cfg.model:
        value = options.pop(f'model.local.{keys[0]}')
        set_partition(cfg, **{keys[0]: _as_list(value) if keys[0] == 'boundaries' else value})
    try:
        cfg.merge_from_dict(options)
    except (AssertionError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f'--cfg-options do not fit the config {path}: {error}') from error
    check_values(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmseg'):
        check_parts(optimizer_parts(cfg))
        try_constructor(cfg.get('optim_wrapper'))
    return cfg


def config_file(path: str) -> Path:
    """Return the file of a config: itself, or the installed one that ``package::name`` means.

    Raises:
        ValueError: There is none.
    """
    package, separator, name = path.rpartition('::')
    if not separator:
        if not Path(path).is_file():
            what = 'is a folder' if Path(path).is_dir() else 'does not exist'
            raise ValueError(f'the config {path} {what}')
        return Path(path)
    if package not in PACKAGES:
        raise ValueError(f'{path} must begin with one of {", ".join(p + "::" for p in PACKAGES)}')
    folder = Path(get_installed_path(package)) / '.mim' / 'configs'
    if not (folder / name).is_file():
        names = [str(file.relative_to(folder)) for file in folder.rglob('*.py')]
        near = ', '.join(get_close_matches(name, names)) or 'none'
        raise ValueError(f'{package} ships no config {name}; names that are near: {near}')
    return folder / name


def config_name(file: str) -> str:
    """Return what names a config on a command line: ``package::name``, if a package ships it."""
    for package in PACKAGES:
        folder = Path(get_installed_path(package)) / '.mim' / 'configs'
        if Path(file).is_relative_to(folder):
            return f'{package}::{Path(file).relative_to(folder).as_posix()}'
    return file


def _refuse_variables(cfg: Config, options: Mapping[str, Any]) -> None:
    """A value that a config file used while it was read has no effect any more."""
    more = 'tta_model', 'tta_pipeline', 'auto_scale_lr', ALLOW_FEW
    read = {*inspect.signature(Runner).parameters, *more}
    variables = [key for key in options if '.' not in key and key in cfg and key not in read]
    used = [key for key in variables if key not in ('find_unused_parameters', 'sync_bn')]
    if used:
        raise ValueError(
            f'--cfg-options {used[0]}={options[used[0]]} would change nothing: {used[0]} is a '
            'variable of the config file; set the keys that it went into, as '
            'train_dataloader.dataset.dataset.data_root or train_cfg.max_iters'
        )


def _refuse_bare_sizes(options: Mapping[str, Any]) -> None:
    """What is typed has a unit; bytes without one are for configs that a program wrote."""
    for key in ('model.local.memory_cap', 'model.local.memory_margin'):
        value = options.get(key)
        if value and isinstance(value, (int, float)) and math.isfinite(value):
            raise ValueError(f'--cfg-options {key}: {bare_number(str(value))}')


def choose_work_dir(cfg: Config, work_dir: str | None) -> None:
    """Set ``cfg.work_dir``: what was asked for, what the config says, or one named after it.

    The name is the config's path below its folder ``configs``, so that configs of several data
    sets may have equal file names; without such a folder it is the file's name.

    Raises:
        ValueError: It is empty, a file, or in a place that nobody may write to.
    """
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        *parents, name = Path(cfg.filename).resolve().with_suffix('').parts
        below = parents[::-1].index('configs') if 'configs' in parents else 0
        cfg.work_dir = str(Path('work_dirs', *parents[len(parents) - below :], name))
    if not str(cfg.work_dir).strip():
        raise ValueError('work_dir is empty: name a directory with --work-dir')
    check_folder('work_dir', Path(cfg.work_dir))


def use_amp(cfg: Config) -> None:
    """Train with automatic mixed precision and dynamic loss scaling.

    Raises:
        ValueError: There is no accelerator, or the optimizer wrapper is not a plain one.
    """
    if get_device() == 'cpu':
        raise ValueError('--amp needs an accelerator, and torch finds none on this machine')
    if 'type' in cfg.optim_wrapper and type_name(cfg.optim_wrapper) not in (
        'OptimWrapper',
        *DRY_WRAPPERS,
    ):
        raise ValueError(
            f'--amp replaces an OptimWrapper, but optim_wrapper.type is {cfg.optim_wrapper.type}'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
