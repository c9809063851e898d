"""Whether as many local modules as are asked for save anything over fewer of them."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.logging import MMLogger

from ..measure.sizes import format_bytes
from .explain import FailedStepError
from .localize import localize
from .resolve import resolve
from .step import config_peak

NOTHING = 1.01
"""Fewer modules are as good if they need at most this factor."""


def fewest_as_good(cfg: Config) -> tuple[int, int, int]:
    """Return the fewest modules that need as little as a config's own, and what both need.

    Each is a dry step: of one module less, and so on while that needs no more and the other
    settings allow it, and of end-to-end training. Why settings do not is logged.

    Args:
        cfg: With ``local.num_modules`` or ``local.boundaries``.

    Returns:
        K, the bytes that it needs, and those that the config's own K needs.

    Raises:
        FailedStepError: A step of fewer modules fails.
    """
    resolved = resolve(cfg)
    own = len(resolved.model.local.boundaries) + 1
    peak = config_peak(resolved).total
    best, best_peak = own, peak
    for count in range(own - 1, 0, -1):
        try:
            trial = config_peak(resolve(localize(cfg, count))).total
        except FailedStepError:
            raise
        except ValueError as error:  # settings as offload=[2] name modules that fewer ones lack
            MMLogger.get_current_instance().info(
                f'{_modules(count)} in place of {own} cannot be tried: {error}'
            )
            break
        if trial > NOTHING * peak:
            break
        best, best_peak = count, trial
    return best, best_peak, peak


def with_helpful_modules(cfg: Config, force: bool = False) -> Config:
    """Return a config with as few modules as need no more than those that it asks for.

    Explicit boundaries are taken as they are, as is every K with ``force``; what is as good, or
    what the config gets in its place, is a warning. Those of a pipeline save time, and stay.
    """
    local = cfg.model.get('local') or {}
    count = local.get('num_modules')
    asked = count if count is not None else len(local.get('boundaries') or []) + 1
    if asked == 1 or local.get('memory_cap') is not None or local.get('placement') == 'pipeline':
        return cfg
    fewer, less, peak = fewest_as_good(cfg)
    if fewer == asked:
        return cfg
    text = (
        f'{asked} local modules need {format_bytes(peak)}, and {_modules(fewer)} '
        f'{format_bytes(less)}: so many save nothing'
    )
    is_kept = force or count is None
    if is_kept:
        how = '--force' if force else 'the boundaries'
        text += f'; they are kept, as {how} asked'
    else:
        text += f'; {_modules(fewer)} it is, and --force would keep {asked}'
    MMLogger.get_current_instance().warning(text)
    return cfg if is_kept else localize(cfg, fewer)


def _modules(count: int) -> str:
    return f'{count} local modules' if count > 1 else 'end-to-end training'
