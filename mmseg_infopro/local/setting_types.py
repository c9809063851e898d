"""What the values of ``model.local`` may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infopro.words import PLACEMENTS, RECOMPUTE

from ..local_heads.image_target import check_image_range
from ..measure.sizes import SMALLEST_CAP, check_cap, parse_bytes

PLANNED = ('batch_size', 'crop', 'precision', 'peak_bytes')
WORDS: dict[str, tuple[str | None, ...]] = {
    'update': ('step', 'module'),
    'placement': PLACEMENTS,
    'border_dtype': (None, 'bfloat16'),
}
"""What the values of these keys may be."""


def check_types(settings: Mapping[str, Any], heads: Any) -> None:
    """Check the values of ``model.local``, those that are None left out.

    Args:
        settings: By key.
        heads: Its local heads, words replaced by what they stand for.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is no valid one.
    """
    try:
        check_cap(settings.get('memory_cap', SMALLEST_CAP))
    except ValueError as error:
        raise ValueError(f'local.memory_cap: {error}') from error
    _check_margin(settings.get('memory_margin', 0))
    num_modules = settings.get('num_modules', 1)
    if not isinstance(num_modules, int) or isinstance(num_modules, bool):
        raise TypeError(f'local.num_modules must be an int, got {num_modules!r}')
    for key in ('warm_start', 'channels_last', 'update_per_module', 'chunked_losses'):
        if not isinstance(settings.get(key, False), bool):
            raise TypeError(f'local.{key} must be True or False, got {settings[key]!r}')
    _check_offload(settings.get('offload', False))
    _check_recompute(settings, settings.get('recompute', 'none'))
    _check_compile(settings)
    interval = settings.get('balance_interval', 1)
    if type(interval) is not int or interval < 1:
        raise TypeError(f'local.balance_interval must be an int of at least 1, got {interval!r}')
    _check_pipeline(settings)
    planned = settings.get('planned_for', dict.fromkeys(PLANNED))
    if not (isinstance(planned, Mapping) and set(PLANNED) <= set(planned)):
        keys = ', '.join(PLANNED)
        raise TypeError(f'local.planned_for must be a dict with {keys}, got {planned!r}')
    check_image_range(settings.get('image_range'), 'local.image_range')
    for key in ('schedule', 'context', 'optimizer_before'):
        if key in settings and not (isinstance(settings[key], Mapping) and 'type' in settings[key]):
            raise TypeError(f'local.{key} must be a dict with a type, got {settings[key]!r}')
    _check_lists(settings, heads)


def _check_pipeline(settings: Mapping[str, Any]) -> None:
    for key, words in WORDS.items():
        if settings.get(key, words[0]) not in words:
            valid = ' or '.join(map(repr, words))
            raise ValueError(f'local.{key} must be {valid}, got {settings[key]!r}')
    in_flight = settings.get('in_flight', 1)
    if type(in_flight) is not int or in_flight < 1:
        raise ValueError(f'local.in_flight must be an int of at least 1, got {in_flight!r}')
    _check_staleness(settings)
    timeout = settings.get('process_timeout', 1)
    if type(timeout) not in (int, float) or timeout <= 0:
        raise ValueError(f'local.process_timeout must be seconds above 0, got {timeout!r}')


def _check_staleness(settings: Mapping[str, Any]) -> None:
    staleness, reuse = settings.get('staleness', 0), settings.get('reuse', 1)
    if type(staleness) is not int or staleness < 0:
        raise ValueError(
            f'local.staleness must be a number of iterations of at least 0, got {staleness!r}'
        )
    if type(reuse) is not int or reuse < 1:
        raise ValueError(f'local.reuse must be an int of at least 1, got {reuse!r}')
    if staleness and settings.get('placement') != 'pipeline':
        raise ValueError(
            f"local.staleness needs local.placement='pipeline', got {staleness} without it: "
            'processes that have all modules train on nothing that is stale; set 0'
        )
    if reuse > 1 and not staleness:
        raise ValueError(
            f'local.reuse needs local.staleness of at least 1, got {reuse} without it: features '
            'that are used again are stale'
        )


def _check_compile(settings: Mapping[str, Any]) -> None:
    compile_setting = settings.get('compile', False)
    if compile_setting is not False and settings.get('recompute', 'none') != 'none':
        raise ValueError('local.compile and local.recompute exclude each other')
    if not isinstance(compile_setting, (bool, Mapping)):
        raise TypeError(
            'local.compile must be True, False or a dict of torch.compile arguments, '
            f'got {compile_setting!r}'
        )
    arguments = compile_setting if isinstance(compile_setting, Mapping) else {}
    share = arguments.get('activation_memory_budget')
    if share is not None and not (isinstance(share, (int, float)) and 0 <= share <= 1):
        raise ValueError(
            'local.compile.activation_memory_budget must be a share of 0 to 1 of what a module '
            f'saves, got {share!r}'
        )


def _check_lists(settings: Mapping[str, Any], heads: Any) -> None:
    for key, what in (('may_thaw', 'names'), ('boundaries', 'unit names')):
        names = settings.get(key, ())
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise TypeError(f'local.{key} must be a list of {what}, got {names!r}')
    is_list = isinstance(heads, Sequence) and not isinstance(heads, str)
    if not is_list or not all(isinstance(head, Mapping) and 'type' in head for head in heads):
        raise TypeError(f'local.heads must be a list of dicts with a type each, got {heads!r}')
    if not heads:
        raise ValueError('local.heads must hold at least one head: a local module needs a loss')


def _check_margin(margin: Any) -> None:
    try:
        size = parse_bytes(margin)
    except ValueError as error:
        raise ValueError(f'local.memory_margin: {error}') from error
    if isinstance(margin, bool) or size < 0:
        raise ValueError(f"local.memory_margin must be a size as '1.25GiB', got {margin!r}")


def _check_offload(offload: Any) -> None:
    is_list = isinstance(offload, Sequence) and not isinstance(offload, str)
    if isinstance(offload, bool) or (is_list and all(type(i) is int and i >= 0 for i in offload)):
        return
    raise TypeError(
        'local.offload must be True, False or a list of numbers of modules, as [0, 1], '
        f'got {offload!r}'
    )


def _check_recompute(settings: Mapping[str, Any], recompute: Any) -> None:
    if isinstance(recompute, Sequence) and not isinstance(recompute, str):
        if 'boundaries' not in settings:
            raise ValueError(
                'a list in local.recompute goes with local.boundaries, which are unset'
            )
        return
    if recompute not in RECOMPUTE:
        raise ValueError(
            f'local.recompute must be one of {", ".join(RECOMPUTE)}, or a list of groups, '
            f'got {recompute!r}'
        )
