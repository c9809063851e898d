"""Values that no constructor refuses, though no training can mean them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from .pipelines import as_size
from .places import named
from .walk import walk

WHOLE = re.compile(
    r'(train|val|test)_dataloader\.batch_size|train_cfg\.(max_iters|max_epochs|val_interval)|'
    r'optim_wrapper(\.\w+)?\.accumulative_counts|default_hooks\.\w+\.interval|'
    r'model\.local\.(balance_interval)|log_processor\.window_size'
)
"""Whole numbers of at least 1; where mmengine knows -1 for never, see :data:`OR_NEVER`."""
OR_NEVER = re.compile(r'default_hooks\.(checkpoint|visualization)\.interval')
NOT_NEGATIVE = re.compile(
    r'(train|val|test)_dataloader\.num_workers|optim_wrapper(\.\w+)?\.optimizer\.'
    r'(lr|weight_decay|momentum|eps)|.*\.(loss_weight|class_weight\[\d+\])|'
    r'param_scheduler.*\.(eta_min|power|gamma|factor)|.*\.clip_grad\.max_norm'
)
FINITE = re.compile(r'optim_wrapper.*|param_scheduler.*|.*\.loss_weight|train_cfg.*')
SIZES = re.compile(r'.*\.crop_size|model\.data_preprocessor\.size')
ONE_OF = {
    'log_level': ('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG', 'NOTSET'),
    'env_cfg.mp_cfg.mp_start_method': ('fork', 'spawn', 'forkserver'),
    'launcher': ('none', 'pytorch', 'slurm', 'mpi'),
}
POSITIVE = re.compile(r'model\.data_preprocessor\.std\[\d+\]')


def check_values(cfg: Config) -> None:
    """Check the numbers of a config by their places.

    Raises:
        ValueError: One is no number, no whole one, too small or not finite.
    """
    for place, value in leaves(cfg):
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f'{place} is not a number (NaN)')
        if SIZES.fullmatch(place) and value is not None:
            with named(place):
                as_size(value)
        if place in ONE_OF and value is not None and value not in ONE_OF[place]:
            raise ValueError(f'{place} must be one of {", ".join(ONE_OF[place])}, got {value!r}')
        _check_whole(place, value)
        _check_sign(place, value)
        if FINITE.fullmatch(place) and isinstance(value, float) and math.isinf(value):
            raise ValueError(f'{place} must be finite, got {value}')


def leaves(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what is no mapping in a config, and where it is; lists as a whole and item by item."""
    for place, part in walk(dict(cfg.items())):
        for key, value in part.items():
            where = f'{place}.{key}' if place else str(key)
            if not isinstance(value, Mapping):
                yield where, value
            if isinstance(value, (list, tuple)):
                for index, item in enumerate(value):
                    if not isinstance(item, (Mapping, list, tuple)):
                        yield f'{where}[{index}]', item


def _check_whole(place: str, value: Any) -> None:
    if value is None or not WHOLE.fullmatch(place):
        return
    if OR_NEVER.fullmatch(place) and type(value) is int and (value == -1 or value > 0):
        return
    if type(value) is not int or value < 1:
        raise ValueError(f'{place} must be a whole number of at least 1, got {value!r}')


def _check_sign(place: str, value: Any) -> None:
    is_positive = POSITIVE.fullmatch(place)
    if value is None or not (is_positive or NOT_NEGATIVE.fullmatch(place)):
        return
    if isinstance(value, (list, tuple)) or value == 'balanced':
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'{place} must be a number, got {value!r}')
    if value < 0 or (is_positive and value == 0):
        what = 'above 0' if is_positive else 'at least 0'
        raise ValueError(f'{place} must be {what}, got {value!r}')
