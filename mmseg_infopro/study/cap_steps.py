"""What a way trains under a memory cap: the bed's own step, or the largest smaller one that fits.

First the batch is reduced, down to two images, for batch norm needs some; then the crop.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import prod

from mmengine.config import Config

from ..config.edit import override_step
from ..config.explain import FailedStepError
from ..config.fit_cap import nearest_fit, set_fit
from ..config.localize import localize
from ..config.phases import fill_max_iters
from ..config.step import config_peak, step_shape
from ..local.settings import read_local_settings
from ..report.largest import largest
from ..report.step_sizes import crops
from ..report.way import Way

SMALLEST_BATCH = 2


@dataclass(frozen=True)
class CapStep:
    """A way's training step under a cap.

    Attributes:
        cfg: Of the step; it holds boundaries in place of the cap.
        peak: Its predicted bytes.
        fits: Whether they are within the cap; if not, it is the smallest step that was tried.
    """

    cfg: Config
    peak: int
    fits: bool


def fit_way(cfg: Config, way: Way, cap: int) -> CapStep:
    """Return the largest step of a way, at most the config's own, within a cap.

    Args:
        cfg: End to end.
        way: Any; one with local modules gets boundaries and recomputing that fit the cap.
        cap: Bytes of tensors.

    Raises:
        TypeError: The model cannot be cut.
        ValueError: The way does not fit the model.
    """
    way.check(cfg)
    sizes = list(smaller_steps(cfg))
    tried: dict[int, CapStep] = {}

    def fits(number: int) -> bool:
        if number > len(sizes):
            return False
        try:
            tried[number] = step_of(sizes[number - 1], way, cap)
        except FailedStepError:  # so few pixels that the network has no step of them
            if number == len(sizes):
                raise
            return False
        return tried[number].fits

    found = largest(fits, len(sizes))
    return tried[found] if found else tried[min(tried)]


def smaller_steps(cfg: Config) -> Iterator[Config]:
    """Yield a config with each step up to its own: crops at the smallest batch, then batches."""
    shape = step_shape(cfg)
    smallest = min(SMALLEST_BATCH, shape.batch_size)
    few = _with(cfg, batch_size=smallest)
    sizes = crops(few)
    for count in range(1, sizes.start + 1):
        smaller = sizes.config(count)
        if prod(step_shape(smaller).crop) < prod(shape.crop):
            yield smaller
    for batch in range(smallest, shape.batch_size + 1):
        yield _with(cfg, batch_size=batch)


def step_of(cfg: Config, way: Way, cap: int) -> CapStep:
    """Return a way's step of a config's own size, as small as it takes where that can be chosen."""
    if way.method in ('e2e', 'with_cp'):
        cfg = way.config(cfg, {})
        peak = config_peak(cfg).total
        return CapStep(cfg, peak, peak <= cap)
    method = None if way.method == 'k1_auto' else way.method
    local = localize(cfg, memory_cap=cap, method=method, heads=way.heads)
    local.model.local.update(memory_margin=0, recompute='auto')
    has_own = 'max_iters' in (local.model.local.get('schedule') or {})
    fill_max_iters(local)
    fit, fits = nearest_fit(local, read_local_settings(local.model.local), way.num_modules)
    found = set_fit(local, fit)
    if not has_own:  # the run will have other iterations
        (found.model.local.get('schedule') or {}).pop('max_iters', None)
    return CapStep(found, fit.step.peak.total, fits)


def _with(cfg: Config, batch_size: int) -> Config:
    changed = deepcopy(cfg)
    override_step(changed, batch_size)
    return changed
