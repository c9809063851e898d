"""What fits a memory cap, for each way to train: partitions, largest batch, largest crop."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from mmengine.config import Config

from ..config.edit import enforce_cap, override_step
from ..config.explain import FailedStepError
from ..config.fit_cap import measure_config, nearest_fit, plan_fits, set_fit
from ..config.localize import localize
from ..config.phases import fill_max_iters
from ..config.step import dry_config_step, step_shape
from ..config.trials import Fit
from ..local.settings import check_num_modules, read_local_settings
from ..measure.peaks import DryStep
from ..planning.batch import StepShape
from ..planning.costs import StepBytes

Crop = tuple[int, int]
CROP_STEP = 32
"""Crops that are tried are a multiple of this, in pixels, high and wide."""


@dataclass(frozen=True)
class Row:
    """What a way to train needs, and what it could train under the cap.

    Attributes:
        name: Of the way.
        cfg: Resolved, as it was stepped.
        step: Its dry step; of local modules that nothing fits, the smallest found.
        fits: Whether that is within the cap.
        batch: The largest batch at the config's crop; 0 if not even one image fits.
        crop: The largest crop at the config's batch, of the same shape; None if none fits.
        fixed_crop: Whether the network takes no other crop than the config's.
    """

    name: str
    cfg: Config
    step: DryStep
    fits: bool
    batch: int
    crop: Crop | None
    fixed_crop: bool


@dataclass(frozen=True)
class Cap:
    """Bytes that a card may hold, and the part of them that is not for tensors."""

    total: int
    margin: int

    @property
    def tensors(self) -> int:
        """Return the bytes for tensors."""
        return self.total - self.margin


def fit_end_to_end(name: str, cfg: Config, cap: Cap, advance: Callable[[], None]) -> Row:
    """Say what one of :func:`~.baselines.end_to_end_forms` needs and could train."""
    step = dry_config_step(cfg)
    advance()
    fits = step.peak.total <= cap.tensors

    def fits_changed(trial: Config) -> bool:
        return dry_config_step(trial).peak.total <= cap.tensors

    return Row(name, cfg, step, fits, *_largest_steps(cfg, fits_changed, fits, advance))


class LocalFitter:
    """Says what local modules need and could train.

    Args:
        cfg: Any config of mmseg.
        recompute: ``local.recompute``.
        cap: To stay within.
    """

    def __init__(self, cfg: Config, recompute: str, cap: Cap) -> None:
        self.cap = cap
        self.cfg = localize(cfg, memory_cap=cap.total)
        self.cfg.model.local.update(memory_margin=cap.margin, recompute=recompute)
        fill_max_iters(self.cfg)
        self._measured: dict[StepShape, StepBytes] = {}

    def check(self, num_modules: int) -> None:
        """Check a K, before anything that takes long.

        Raises:
            ValueError: The backbone cannot be cut into so many modules.
        """
        num_units = len(self._measure(self.cfg).units)
        check_num_modules(num_modules, num_units, self.cfg.model.backbone.type)

    def row(self, num_modules: int | None, advance: Callable[[], None]) -> Row:
        """Return the row of K modules, or of the fewest that fit."""
        found, fits = self._fit(self.cfg, num_modules)
        advance()

        def plans(trial: Config) -> bool:
            return self._plans(trial, num_modules)

        def confirms(trial: Config) -> bool:
            return self._fit(trial, num_modules)[1]

        sizes = _largest_steps(self.cfg, plans, fits, advance, confirms)
        name = f'K={found.num_modules}'
        cfg = set_fit(self.cfg, found)
        if fits:
            enforce_cap(cfg, read_local_settings(self.cfg.model.local), found.step.peak.total)
        # The search takes dry steps without FLOPs.
        return Row(name, cfg, dry_config_step(cfg), fits, *sizes)

    def _fit(self, cfg: Config, num_modules: int | None) -> tuple[Fit, bool]:
        settings = read_local_settings(cfg.model.local)
        return nearest_fit(cfg, settings, num_modules, self._measure(cfg))

    def _measure(self, cfg: Config) -> StepBytes:
        """Measure a config, once for each shape of its step."""
        shape = step_shape(cfg)
        if shape not in self._measured:
            self._measured[shape] = measure_config(cfg, read_local_settings(cfg.model.local))
        return self._measured[shape]

    def _plans(self, cfg: Config, num_modules: int | None) -> bool:
        """Whether some plan is within the cap: to find a size by dry steps would take long."""
        settings, step = read_local_settings(cfg.model.local), self._measure(cfg)
        counts = range(1, len(step.units) + 1) if num_modules is None else [num_modules]
        return any(plan_fits(step, count, settings, self.cap.tensors) for count in counts)


def _largest_steps(
    cfg: Config,
    fits: Callable[[Config], bool],
    fits_now: bool,
    advance: Callable[[], None],
    confirms: Callable[[Config], bool] | None = None,
) -> tuple[int, Crop | None, bool]:
    """Return the largest batch at the config's crop, the largest crop at its batch, if it is fixed.

    Args:
        cfg: The config.
        fits: Whether a changed one fits.
        fits_now: Whether the config itself does.
        advance: Called after each of the two.
        confirms: A more thorough ``fits``, asked about the end of the search only.
    """
    shape = step_shape(cfg)
    height, width = shape.crop
    rows = max(1, height // CROP_STEP)

    def crop_of(count: int) -> Crop:
        high = count * CROP_STEP
        return high, max(CROP_STEP, round(high * width / height / CROP_STEP) * CROP_STEP)

    def search(start: int, known: bool | None, change: Callable[[int], dict[str, Any]]) -> int:
        found = largest(lambda count: _fits_changed(cfg, fits, change(count)), start, known)
        while found and confirms and not _fits_changed(cfg, confirms, change(found)):
            found -= 1
        advance()
        return found

    batch = search(shape.batch_size, fits_now, lambda count: dict(batch_size=count))
    known = fits_now if (height, width) == crop_of(rows) else None
    try:
        count = search(rows, known, lambda count: dict(crop=crop_of(count)))
    except FailedStepError:  # the config's own crop was stepped on before
        return batch, (height, width) if fits_now else None, True
    return batch, crop_of(count) if count else None, False


def _fits_changed(cfg: Config, fits: Callable[[Config], bool], change: dict[str, Any]) -> bool:
    trial = deepcopy(cfg)
    override_step(trial, **change)
    try:
        return fits(trial)
    except ValueError as error:
        # Of one image, or few pixels: batch norm after global pooling has no variance.
        if 'more than 1 value per channel' in str(error):
            return False
        raise


def largest(fits: Callable[[int], bool], start: int, fits_start: bool | None = None) -> int:
    """Return the largest n for which ``fits`` holds, 0 if it holds for none.

    Args:
        fits: Holds up to some number, and for none beyond.
        start: Where to begin to look, at least 1.
        fits_start: What ``fits(start)`` is, if that is known.
    """
    fits = cache(fits)
    low, high = 0, start
    while fits_start if high == start and fits_start is not None else fits(high):
        low, high = high, high + max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
