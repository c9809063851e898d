"""Values that no constructor refuses, though no training can mean them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from .check_kinds import check_kinds
from .image_size import as_size
from .places import named
from .walk import walk

WHOLE = re.compile(
    r'(train|val|test)_dataloader\.batch_size|train_cfg\.(max_iters|max_epochs|val_interval)|'
    r'optim_wrapper(\.\w+)?\.accumulative_counts|default_hooks\.\w+\.interval|'
    r'default_hooks\.\w+\.max_keep_ckpts|model\.local\.(balance_interval)|log_processor\.window_size'
)
"""Whole numbers of at least 1; where mmengine knows -1 for never, see :data:`OR_NEVER`."""
OR_NEVER = re.compile(
    r'default_hooks\.(checkpoint|visualization)\.interval|default_hooks\.\w+\.max_keep_ckpts'
)
COUNTS = re.compile(
    r'model(\..+)?\.(in_channels|channels|base_channels|stem_channels|embed_dims|num_classes)'
)
"""Whole numbers of at least 1 where they are no lists."""
SHARES = re.compile(r'model(\..+)?\.(dropout_ratio|drop_rate|drop_path_rate|attn_drop_rate)')
SWITCHES = re.compile(
    r'(train|val|test)_dataloader\.(pin_memory|persistent_workers|drop_last|shuffle)|resume'
)
MILESTONES = re.compile(r'param_scheduler.*\.milestones')
STATISTICS = re.compile(r'model\.data_preprocessor\.(mean|std)')
NOT_NEGATIVE = re.compile(
    r'(train|val|test)_dataloader\.num_workers|optim_wrapper(\.\w+)?\.optimizer\.'
    r'(lr|weight_decay|momentum|eps)|.*\.(loss_weight(\[\d+\])?|class_weight\[\d+\])|'
    r'param_scheduler.*\.(eta_min|power|gamma|factor)|.*\.clip_grad\.max_norm'
)
FINITE = re.compile(r'optim_wrapper.*|param_scheduler.*|.*\.loss_weight|train_cfg.*')
SIZES = re.compile(r'.*\.crop_size|model\.data_preprocessor\.size')
ONE_OF = {
    'log_level': ('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG', 'NOTSET'),
    'env_cfg.mp_cfg.mp_start_method': ('fork', 'spawn', 'forkserver'),
    'launcher': ('none', 'pytorch', 'slurm', 'mpi'),
    'default_hooks.checkpoint.rule': ('greater', 'less'),
}
POSITIVE = re.compile(r'model\.data_preprocessor\.std\[\d+\]')


def check_values(cfg: Config) -> None:
    """Check the values of a config by their places.

    Raises:
        ValueError: One is no number, no whole one, too small, not finite, or of another kind.
    """
    check_kinds(cfg)
    for place, value in leaves(cfg):
        if isinstance(value, float) and math.isnan(value):
            raise ValueError(f'{place} is not a number (NaN)')
        if SIZES.fullmatch(place) and value is not None:
            with named(place):
                as_size(value)
        is_word = value is not None and not isinstance(value, (list, tuple))
        if place in ONE_OF and is_word and value not in ONE_OF[place]:
            raise ValueError(f'{place} must be one of {", ".join(ONE_OF[place])}, got {value!r}')
        _check_whole(place, value)
        _check_kind(place, value)
        _check_sign(place, value)
        if FINITE.fullmatch(place) and isinstance(value, float) and math.isinf(value):
            raise ValueError(f'{place} must be finite, got {value}')


def _check_kind(place: str, value: Any) -> None:
    """Check what is a count, a share, a switch, a label or a list of numbers, if it is there."""
    is_list = isinstance(value, (list, tuple))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    must = ''
    if COUNTS.fullmatch(place) and not is_list and (type(value) is not int or value < 1):
        must = 'a whole number of at least 1'
    elif SHARES.fullmatch(place) and not is_list and not (is_number and in_share(value)):
        must = 'a number from 0 to below 1, or -1 for none'
    elif SWITCHES.fullmatch(place) and not isinstance(value, bool):
        must = 'True or False'
    elif place.endswith('.ignore_index') and type(value) is not int:
        must = 'a whole number'
    elif STATISTICS.fullmatch(place) and not (
        is_list and all(isinstance(item, (int, float)) for item in value)
    ):
        must = 'a list of numbers'
    elif MILESTONES.fullmatch(place) and not (
        is_list and all(type(item) is int and item >= 0 for item in value)
    ):
        must = 'a list of whole numbers'
    elif place == 'randomness.seed' and not (type(value) is int and 0 <= value < 2**32):
        must = f'a whole number from 0 to {2**32 - 1}'
    if must and value is not None:
        raise ValueError(f'{place} must be {must}, got {value!r}')


def in_share(value: float) -> bool:
    """Whether a number is a share that something can be dropped by, or mmseg's -1 for none."""
    return value == -1 or 0 <= value < 1


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
        never = ', or -1 for no limit' if OR_NEVER.fullmatch(place) else ''
        raise ValueError(f'{place} must be a whole number of at least 1{never}, got {value!r}')


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
